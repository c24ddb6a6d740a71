import { assert, assertEquals, assertThrows } from "@std/assert";
import { EINTR, errno } from "../sys/errno.ts";
import { map } from "../sys/mapping.ts";
import { blockKick, drainKick, kick, threadId } from "../sys/threads.ts";
import { KVM_EXIT, RUN } from "./ioctls.ts";
import { type CpuidEntry, Kvm } from "./kvm.ts";
import { Regs, Segment } from "./structs.ts";
import { HAS_KVM } from "./testing/has_kvm.ts";
import { tscKhz, Vcpu } from "./vcpu.ts";
import { VcpuRun } from "./vcpu_run.ts";
import { entriesOf, packMsrs, unpackMsrs } from "./msrs.ts";
import { isNested, MSR, VcpuStates } from "./vcpu_state.ts";
import { captureTime, setFrequency, TimeRestorer } from "./vcpu_time.ts";
import type { Vm } from "./vm.ts";
import { applyVm, captureVm } from "./vm_state.ts";

interface Machine {
  kvm: Kvm;
  vm: Vm;
  ram: Uint8Array;
  fds: number[];
}

function machine(count: number): Machine & Disposable {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  vm.createIrqchip();
  vm.createPit(0);
  const mapping = map(0x1000);
  vm.setMemoryRegion(0, { guest: 0, size: mapping.length, host: mapping.address });
  const fds = Array.from({ length: count }, (_, id) => vm.createVcpu(id));
  const dispose = () => {
    vm.close();
    kvm.close();
  };
  return { kvm, vm, ram: new Uint8Array(mapping.buffer), fds, [Symbol.dispose]: dispose };
}

function boot({ kvm, ram, fds }: Machine, code: readonly number[]): void {
  ram.set(code);
  for (const fd of fds) new Vcpu(fd).setCpuid(kvm.supportedCpuid());
  const vcpu = new Vcpu(fds[0]);
  const sregs = vcpu.sregs();
  const cs = Segment.at(sregs.cs.buffer, sregs.cs.byteOffset);
  cs.base = cs.selector = 0;
  vcpu.setSregs(sregs);
  vcpu.setRegs(Regs.create({ rip: 0n, rflags: 2 }));
}

/** Runs until the guest leaves for a port, and gives what it asked to `answer`. */
function ports(vcpu: VcpuRun, answer: (port: number) => number): void {
  assertEquals(vcpu.enter(), 0);
  assertEquals(vcpu.view.getUint32(RUN.exit_reason, true), KVM_EXIT.IO);
  const at = vcpu.view.getUint32(RUN.io_data_offset, true);
  vcpu.view.setUint8(at, answer(vcpu.view.getUint16(RUN.io_port, true)));
}

/** Has an exit completed: what KVM_RUN does first, before it looks for signals. */
function complete(vcpu: VcpuRun): void {
  blockKick();
  new Vcpu(vcpu.fd).unmaskSignalsInGuest();
  kick(threadId());
  assertEquals(vcpu.enter(), -1);
  assertEquals(errno(), EINTR);
  drainKick();
}

const test = (name: string, fn: () => void) => Deno.test({ name, ignore: !HAS_KVM, fn });

test("a guest goes on in another machine where it was, in the middle of a port's read too", () => {
  using from = machine(1);
  // in al, 0x10; inc bx; add [0x800], al; jmp to the beginning
  boot(from, [0xE4, 0x10, 0x43, 0x00, 0x06, 0x00, 0x08, 0xEB, 0xF7]);
  const first = new VcpuRun(from.fds[0], from.kvm.runSize());
  for (let i = 0; i < 5; i++) ports(first, () => 3);
  // The fifth read has been answered, and the guest has not seen it yet.
  complete(first);
  const states = new VcpuStates(from.kvm);
  const state = states.capture(from.fds[0], from.kvm.supportedCpuid());
  const time = captureTime(from.fds);
  const vm = captureVm(from.vm.fd);

  using to = machine(1);
  to.ram.set(from.ram);
  const vcpu = new Vcpu(to.fds[0]);
  vcpu.setCpuid(state.cpuid);
  setFrequency(to.kvm, to.fds[0], time.khz);
  const restorer = new TimeRestorer(time);
  states.apply(to.fds[0], state, () => restorer.apply(to.fds[0], 0));
  applyVm(to.kvm, to.vm.fd, vm);
  assertEquals(vcpu.regs().rbx, 4);
  const second = new VcpuRun(to.fds[0], to.kvm.runSize());
  for (let i = 0; i < 3; i++) ports(second, () => 4);
  complete(second);
  assertEquals(new Vcpu(second.fd).regs().rbx, 7);
  // Four before; then the fifth's three, and two fours.
  assertEquals(to.ram[0x800], 5 * 3 + 2 * 4);
});

test("what is taken from a vCPU that was given a state is that state", () => {
  using from = machine(2);
  boot(from, [0xF4]);
  const one = new Vcpu(from.fds[1]);
  one.setMsrs([[0xC000_0102, 0x1234_5678_9ABCn], [0x277, 0x0007_0406_0007_0406n]]);
  const lapic = one.lapic();
  // The timer: TSC deadline mode, vector 0xEC.
  new DataView(lapic.regs.buffer).setUint32(0x320, 0x400EC, true);
  one.setLapic(lapic);
  const states = new VcpuStates(from.kvm);
  const state = states.capture(from.fds[1], from.kvm.supportedCpuid());
  using to = machine(2);
  for (const fd of to.fds) new Vcpu(fd).setCpuid(state.cpuid);
  states.apply(to.fds[1], state, () => {});
  const again = states.capture(to.fds[1], state.cpuid);
  const msrs = (all: typeof state.msrs) =>
    Object.fromEntries(unpackMsrs(entriesOf(all, MSR.TSC_DEADLINE, { others: true })));
  assertEquals(msrs(again.msrs)[0xC000_0102], 0x1234_5678_9ABCn);
  assertEquals(msrs(again.msrs), msrs(state.msrs));
  for (const key of ["regs", "sregs", "xsave", "xcrs", "debugregs", "lapic", "events"] as const) {
    assertEquals(again[key], state[key], key);
  }
  assertEquals(again.mpState, state.mpState);
});

/** Some KVMs take a counter's value without a word, and go on with the host's. */
const SETS_COUNTERS = HAS_KVM && (() => {
  using here = machine(1);
  const vcpu = new Vcpu(here.fds[0]);
  const before = vcpu.msrs([MSR.TSC])[0][1];
  vcpu.setMsrs([[MSR.TSC, before + (1n << 50n)]]);
  return vcpu.msrs([MSR.TSC])[0][1] >= before + (1n << 50n);
})();

Deno.test({
  name: "counters go on as if they had never stopped, and stay one clock",
  ignore: !SETS_COUNTERS,
  fn: countersGoOn,
});

function countersGoOn(): void {
  using from = machine(2);
  boot(from, [0xF4]);
  const time = captureTime(from.fds);
  assert(time.khz > 0);
  const HOUR = 3600n * 1_000_000_000n;
  // As if it had been an hour ago.
  const restorer = new TimeRestorer({ ...time, at: time.at - HOUR });
  using to = machine(2);
  to.fds.forEach((fd, id) => restorer.apply(fd, id));
  const now = captureTime(to.fds);
  const elapsed = (now.at - time.at + HOUR) * BigInt(time.khz) / 1_000_000n;
  const off = Number(now.counters[0] - time.counters[0] - elapsed);
  assert(Math.abs(off) < time.khz * 50, `${off} cycles`);
  const apart = Number(now.counters[1] - now.counters[0] - (time.counters[1] - time.counters[0]));
  assert(Math.abs(apart) < time.khz, `${apart} cycles apart`);
}

test("the guest's clock goes on with the time", () => {
  using from = machine(1);
  const state = captureVm(from.vm.fd);
  using to = machine(1);
  const HOUR = 3600n * 1_000_000_000n;
  state.clock.at -= HOUR;
  applyVm(to.kvm, to.vm.fd, state);
  const { clock } = captureVm(to.vm.fd);
  const off = Number(clock.value - state.clock.value - (clock.at - state.clock.at));
  assert(Math.abs(off) < 50e6, `${off} ns`);
});

test("a frequency that this host cannot count is refused", () => {
  using here = machine(1);
  setFrequency(here.kvm, here.fds[0], tscKhz(here.fds[0]));
  setFrequency(here.kvm, here.fds[0], 0);
  const other = { extension: () => 0 } as unknown as Kvm;
  assertThrows(
    () => setFrequency(other, here.fds[0], 1_000_000),
    RangeError,
    "Cannot have the TSC count 1000000 kHz",
  );
});

test("an MSR that KVM refuses is named, unless it holds that already", () => {
  using from = machine(1);
  boot(from, [0xF4]);
  const states = new VcpuStates(from.kvm);
  const state = states.capture(from.fds[0], from.kvm.supportedCpuid());
  const [first, ...rest] = unpackMsrs(state.msrs);
  const msrs = packMsrs([first, [0xDEAD, 5n], ...rest]);
  assertThrows(
    () => states.apply(from.fds[0], { ...state, msrs }, () => {}),
    RangeError,
    "Cannot set MSR 0xdead: KVM refuses 0x5",
  );
});

Deno.test("a guest that was shown VMX or SVM is one that may run guests", () => {
  const leaf = (fn: number, ecx: number): CpuidEntry => (
    { function: fn, index: 0, flags: 0, eax: 1, ebx: 0, ecx, edx: 0 }
  );
  assert(isNested([leaf(1, 1 << 5)]));
  assert(isNested([leaf(0x8000_0001, 1 << 2)]));
  assert(!isNested([leaf(1, 1 << 2), leaf(0x8000_0001, 1 << 5), leaf(7, -1)]));
});
