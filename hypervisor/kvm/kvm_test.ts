import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { EEXIST, EINTR, ENOENT, errno, SysError } from "../sys/errno.ts";
import { eventfd, isSignalled, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { map } from "../sys/mapping.ts";
import { blockKick, drainKick, kick, threadId } from "../sys/threads.ts";
import { KVM_CAP, KVM_EXIT, KVM_EXIT_IO_OUT, RUN } from "./ioctls.ts";
import { Kvm } from "./kvm.ts";
import { HAS_KVM } from "./testing/has_kvm.ts";
import { Dtable, IrqRouting, IrqRoutingEntry, Regs, Segment } from "./structs.ts";
import type { LoopTask } from "./testing/looping_vcpu_worker.ts";
import { Vcpu } from "./vcpu.ts";
import { VcpuRun } from "./vcpu_run.ts";
import type { Vm } from "./vm.ts";

const test = (name: string, body: (kvm: Kvm, vm: Vm) => void) =>
  Deno.test({
    name,
    ignore: !HAS_KVM,
    fn: () => {
      const kvm = Kvm.open();
      const vm = kvm.createVm();
      try {
        body(kvm, vm);
      } finally {
        vm.close();
        kvm.close();
      }
    },
  });

/** A vCPU in real mode at the beginning of a page of `code`. */
function realMode(kvm: Kvm, vm: Vm, code: readonly number[]): VcpuRun {
  const ram = map(0x1000);
  new Uint8Array(ram.buffer).set(code);
  vm.setMemoryRegion(0, { guest: 0, size: ram.length, host: ram.address });
  const fd = vm.createVcpu(0);
  const vcpu = new Vcpu(fd);
  const sregs = vcpu.sregs();
  const cs = Segment.at(sregs.cs.buffer, sregs.cs.byteOffset);
  cs.base = cs.selector = 0;
  vcpu.setSregs(sregs);
  vcpu.setRegs(Regs.create({ rip: 0n, rflags: 2, rax: 0x41, rdx: 0x3F8 }));
  return new VcpuRun(fd, kvm.runSize());
}

test("a guest's write to a port comes out with its port, size and value", (kvm, vm) => {
  // out dx, al; out dx, ax; hlt
  const vcpu = realMode(kvm, vm, [0xEE, 0xEF, 0xF4]);
  const seen = [];
  for (let i = 0; i < 2; i++) {
    assertEquals(vcpu.enter(), 0);
    assertEquals(vcpu.view.getUint32(RUN.exit_reason, true), KVM_EXIT.IO);
    const data = vcpu.view.getUint32(RUN.io_data_offset, true);
    seen.push([
      vcpu.view.getUint8(RUN.io_direction),
      vcpu.view.getUint8(RUN.io_size),
      vcpu.view.getUint16(RUN.io_port, true),
      vcpu.view.getUint32(RUN.io_count, true),
      vcpu.view.getUint8(data),
    ]);
  }
  assertEquals(seen, [
    [KVM_EXIT_IO_OUT, 1, 0x3F8, 1, 0x41],
    [KVM_EXIT_IO_OUT, 2, 0x3F8, 1, 0x41],
  ]);
  assertEquals(vcpu.enter(), 0);
  assertEquals(vcpu.view.getUint32(RUN.exit_reason, true), KVM_EXIT.HLT);
});

test(
  "a guest's read of memory that is not there comes out with its address and size",
  (kvm, vm) => {
    // mov ax, [0x8000]
    const vcpu = realMode(kvm, vm, [0xA1, 0x00, 0x80, 0xF4]);
    assertEquals(vcpu.enter(), 0);
    assertEquals(vcpu.view.getUint32(RUN.exit_reason, true), KVM_EXIT.MMIO);
    assertEquals(vcpu.view.getUint32(RUN.mmio_phys_addr, true), 0x8000);
    assertEquals(vcpu.view.getUint32(RUN.mmio_len, true), 2);
    assertEquals(vcpu.view.getUint8(RUN.mmio_is_write), 0);
    vcpu.view.setUint16(RUN.mmio_data, 0xBEEF, true);
    assertEquals(vcpu.enter(), 0);
    assertEquals(new Vcpu(vcpu.fd).regs().rax & 0xFFFF, 0xBEEF);
  },
);

test(
  "a kick before the guest is entered gets it out, and once taken leaves it alone",
  (kvm, vm) => {
    // jmp to itself, which nothing but a kick ends
    const vcpu = realMode(kvm, vm, [0xEB, 0xFE]);
    blockKick();
    new Vcpu(vcpu.fd).unmaskSignalsInGuest();
    for (let i = 0; i < 3; i++) {
      kick(threadId());
      assertEquals(vcpu.enter(), -1);
      assertEquals(errno(), EINTR);
      assert(drainKick());
      assert(!drainKick());
    }
    new Vcpu(vcpu.fd).setRegs(Regs.create({ rip: 0x100n, rflags: 2 }));
    assertEquals(new Vcpu(vcpu.fd).regs().rip, 0x100n);
  },
);

Deno.test({
  name: "no kick is lost, whenever it comes",
  ignore: !HAS_KVM,
  fn: async () => {
    const KICKS = 300;
    const kvm = Kvm.open();
    const vm = kvm.createVm();
    // jmp to itself
    const { fd } = realMode(kvm, vm, [0xEB, 0xFE]);
    const kicks = new Int32Array(new SharedArrayBuffer(12));
    kicks[1] = KICKS;
    const url = new URL("./testing/looping_vcpu_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const started = new Promise<number>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    worker.postMessage({ fd, runSize: kvm.runSize(), kicks } satisfies LoopTask);
    const thread = await started;
    for (let i = 0; i < KICKS; i++) {
      kick(thread);
      // Only a kick that was lost takes this long.
      assertNotEquals(Atomics.wait(kicks, 0, i, 30_000), "timed-out", `kick ${i}`);
    }
    assertEquals(kicks[0], KICKS);
    vm.close();
    kvm.close();
  },
});

test("an address takes one ioeventfd, and gives back only the one that it took", (_kvm, vm) => {
  const [fd, other] = [eventfd(), eventfd()];
  vm.assignIoeventfd(fd, 0x8000);
  const twice = assertThrows(() => vm.assignIoeventfd(other, 0x8000), SysError);
  assertEquals(twice.errno, EEXIST);
  const foreign = assertThrows(() => vm.deassignIoeventfd(other, 0x8000), SysError);
  assertEquals(foreign.errno, ENOENT);
  vm.deassignIoeventfd(fd, 0x8000);
  vm.assignIoeventfd(other, 0x8000);
  close(fd);
  close(other);
});

test("an ioeventfd takes a guest's write of any width without an exit", (kvm, vm) => {
  // mov [0x8000], ax; mov [0x8000], al; hlt
  const vcpu = realMode(kvm, vm, [0xA3, 0x00, 0x80, 0xA2, 0x00, 0x80, 0xF4]);
  const fd = eventfd();
  vm.assignIoeventfd(fd, 0x8000);
  assertEquals(vcpu.enter(), 0);
  assertEquals(vcpu.view.getUint32(RUN.exit_reason, true), KVM_EXIT.HLT);
  assert(isSignalled(fd));
  close(fd);
});

test("an irqfd is assigned once, and takes what was signalled before", (_kvm, vm) => {
  vm.createIrqchip();
  const table = new Uint8Array(IrqRouting.size + IrqRoutingEntry.size);
  IrqRouting.at(table.buffer).nr = 1;
  const entry = { gsi: 24, type: 2, address_lo: 0xFEE0_0000, data: 0x31 };
  Object.assign(IrqRoutingEntry.at(table.buffer, IrqRouting.size), entry);
  vm.setGsiRouting(table);
  const fd = eventfd();
  signal(fd);
  vm.assignIrqfd(fd, 24);
  assertThrows(() => vm.assignIrqfd(fd, 24), SysError);
  vm.deassignIrqfd(fd, 24);
  close(fd);
});

test("registers come back as they were set", (kvm, vm) => {
  const vcpu = new Vcpu(realMode(kvm, vm, [0xF4]).fd);
  const sregs = vcpu.sregs();
  const table = Dtable.create({ base: 0x500, limit: 31 });
  new Uint8Array(sregs.gdt.buffer, sregs.gdt.byteOffset, Dtable.size).set(table.$bytes);
  vcpu.setSregs(sregs);
  const gdt = vcpu.sregs().gdt;
  assertEquals(Dtable.at(gdt.buffer, gdt.byteOffset).limit, 31);
  const rip = 0xFFFF_8000_1234_5678n;
  vcpu.setRegs(Regs.create({ rip, rflags: 2, r15: 2 ** 52 + 1 }));
  assertEquals([vcpu.regs().rip, vcpu.regs().r15], [rip, 2 ** 52 + 1]);
});

test("what this KVM has is more than what a guest needs", (kvm) => {
  assert(kvm.extension(KVM_CAP.IMMEDIATE_EXIT) > 0);
  assert(kvm.supportedCpuid().some((leaf) => leaf.function === 0x4000_0001));
  assert(kvm.runSize() >= 4096);
});

Deno.test("what is no KVM is refused with what is wrong with it", () => {
  assertThrows(() => Kvm.open("/nowhere"), Error, 'Cannot open "/nowhere": there is none');
  assertThrows(() => Kvm.open("/dev/null"), Error, 'Cannot use "/dev/null": API version -1');
});
