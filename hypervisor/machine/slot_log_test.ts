import { assertEquals, assertThrows } from "@std/assert";
import { KVM_EXIT } from "../kvm/ioctls.ts";
import { Kvm } from "../kvm/kvm.ts";
import { Regs, Segment } from "../kvm/structs.ts";
import { HAS_KVM } from "../kvm/testing/has_kvm.ts";
import { Vcpu } from "../kvm/vcpu.ts";
import { VcpuRun } from "../kvm/vcpu_run.ts";
import type { Vm } from "../kvm/vm.ts";
import { ENOMEM, SysError } from "../sys/errno.ts";
import { map } from "../sys/mapping.ts";
import { DIRTY_PAGE_BYTES, DirtyPages } from "./dirty_pages.ts";
import { SlotLog, SlotLogSwitch } from "./slot_log.ts";

const LENGTH = 1 << 20;
const CODE = 0x1000;

/** A vCPU in real mode that writes AL to each page of DS:SI, CX of them, and halts; over and over. */
function writer(kvm: Kvm, vm: Vm): { write(first: number, count: number): void; address: number } {
  const ram = map(LENGTH);
  // mov [si], al; add si, 4096 by way of ds; loop; hlt; jmp to the beginning
  const code = [0x88, 0x04, 0x8C, 0xDB, 0x81, 0xC3, 0x00, 0x01, 0x8E, 0xDB, 0xE2, 0xF4, 0xF4];
  new Uint8Array(ram.buffer).set(code, CODE);
  vm.setMemoryRegion(0, { guest: 0, size: LENGTH, host: ram.address });
  const fd = vm.createVcpu(0);
  const vcpu = new Vcpu(fd);
  const run = new VcpuRun(fd, kvm.runSize());
  return {
    address: ram.address,
    write(first, count) {
      const sregs = vcpu.sregs();
      const cs = Segment.at(sregs.cs.buffer, sregs.cs.byteOffset);
      cs.base = cs.selector = 0;
      const ds = Segment.at(sregs.ds.buffer, sregs.ds.byteOffset);
      ds.selector = first * 256;
      ds.base = first * DIRTY_PAGE_BYTES;
      vcpu.setSregs(sregs);
      vcpu.setRegs(Regs.create({ rip: BigInt(CODE), rflags: 2, rax: 0x5A, rcx: count, rsi: 8 }));
      assertEquals(run.enter(), 0);
      assertEquals(run.view.getUint32(8, true), KVM_EXIT.HLT);
    },
  };
}

function pages(set: DirtyPages): number[] {
  return Array.from({ length: set.capacity }, (_, page) => page).filter((page) => set.has(page));
}

const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

for (const manual of [true, false]) {
  Deno.test({
    name: `KVM tells of each page that a guest writes to, once (${
      manual ? "cleared by hand" : "cleared by reading"
    })`,
    ignore: !HAS_KVM,
    fn() {
      const kvm = Kvm.open();
      const vm = kvm.createVm();
      const { write, address } = writer(kvm, vm);
      const regions = [{ guest: 0, offset: 0, length: LENGTH }];
      const able = manual ? vm : {
        enable: () => false,
        setMemoryRegion: vm.setMemoryRegion.bind(vm),
      };
      const log = new SlotLogSwitch(able, { regions, address });
      write(16, 100);
      const isManual = log.start();
      assertEquals(isManual, manual);
      const slotLog = new SlotLog(vm, { regions, manual: isManual });
      const collect = () => {
        const set = DirtyPages.of(LENGTH);
        slotLog.collect(set);
        return pages(set);
      };
      slotLog.forget();
      assertEquals(collect(), []);
      write(20, 3);
      write(90, 40);
      assertEquals(collect(), [...range(20, 3), ...range(90, 40)]);
      assertEquals(collect(), []);
      write(21, 1);
      write(250, 4);
      assertEquals(collect(), [21, ...range(250, 4)]);
      write(30, 1);
      slotLog.forget();
      write(31, 1);
      assertEquals(collect(), [31]);
      log.stop();
      write(40, 10);
      // Switched on anew, it does not tell of what was before; where all bits are set at first, of more.
      log.start();
      slotLog.forget();
      write(50, 1);
      assertEquals(collect(), [50]);
      slotLog.free();
      vm.close();
      kvm.close();
    },
  });
}

Deno.test("a big slot is cleared in ranges, and only where it was written to", () => {
  const length = 3 * 2 ** 30;
  const regions = [{ guest: 0, offset: 0, length }];
  const words = new Map<number, number>([[0, 1], [65_536 / 32 * 5 + 7, 0x8000_0000]]);
  const cleared: { first: number; count: number }[] = [];
  const log = new SlotLog({
    dirtyLog: (_slot, address) => {
      const view = new Uint32Array(
        Deno.UnsafePointerView.getArrayBuffer(
          Deno.UnsafePointer.create(BigInt(address))!,
          length / 4096 / 8,
        ),
      );
      view.fill(0);
      for (const [word, bits] of words) view[word] = bits;
    },
    clearDirtyLog: (_slot, { first, count }) => void cleared.push({ first, count }),
  }, { regions, manual: true });
  const set = DirtyPages.of(length);
  log.collect(set);
  assertEquals(set.count, 2);
  assertEquals(cleared, [{ first: 0, count: 65_536 }, { first: 5 * 65_536, count: 65_536 }]);
  cleared.length = 0;
  log.forget();
  assertEquals(cleared.length, 12);
  log.free();
});

Deno.test("where KVM refuses one slot a log, none has one", () => {
  const calls: [slot: number, flags: number][] = [];
  const regions = [0, 1, 2].map((n) => ({ guest: n * LENGTH, offset: n * LENGTH, length: LENGTH }));
  const log = new SlotLogSwitch({
    enable: () => true,
    setMemoryRegion(slot, { flags = 0 }) {
      if (slot === 2) throw new SysError("log", ENOMEM);
      calls.push([slot, flags]);
    },
  }, { regions, address: 0x1000 });
  assertThrows(() => log.start(), SysError, "ENOMEM");
  assertEquals(calls, [[0, 1], [1, 1], [1, 0], [0, 0]]);
});
