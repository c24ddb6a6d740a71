/**
 * A vCPU's state, while it does not run.
 *
 * @module
 */
import { check } from "../sys/errno.ts";
import { ioctl, ioctlBuffer } from "../sys/ioctl.ts";
import type { View } from "../sys/struct.ts";
import { KVM } from "./ioctls.ts";
import type { CpuidEntry } from "./kvm.ts";
import {
  Cpuid2,
  CpuidEntry2,
  EnableCap,
  Fpu,
  LapicState,
  MsrEntry,
  Msrs,
  Regs,
  SignalMask,
  Sregs,
} from "./structs.ts";

/** An MSR's number, and what it holds. */
export type Msr = readonly [index: number, data: bigint];

/** What one call takes: fewer than 256. */
const MAX_MSRS = 255;

export class Vcpu {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** With an empty mask every signal, blocked by the thread or not, ends KVM_RUN with EINTR. */
  unmaskSignalsInGuest(): void {
    // struct kvm_signal_mask: u32 len, then the kernel's 8-byte sigset_t, unaligned.
    const bytes = new Uint8Array(SignalMask.size + 8);
    SignalMask.at(bytes.buffer).len = 8;
    check(ioctlBuffer(this.fd, KVM.SET_SIGNAL_MASK, bytes), "set a vCPU's signal mask");
  }

  /** KVM_ENABLE_CAP without arguments. */
  enable(capability: number): void {
    const cap = EnableCap.create({ cap: capability });
    check(ioctlBuffer(this.fd, KVM.ENABLE_CAP, cap.$bytes), `enable capability ${capability}`);
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    const bytes = new Uint8Array(Cpuid2.size + entries.length * CpuidEntry2.size);
    Cpuid2.at(bytes.buffer).nent = entries.length;
    entries.forEach((entry, i) =>
      Object.assign(CpuidEntry2.at(bytes.buffer, Cpuid2.size + i * CpuidEntry2.size), entry)
    );
    check(ioctlBuffer(this.fd, KVM.SET_CPUID2, bytes), "set a vCPU's CPUID");
  }

  /** Sets every MSR or throws, naming the first that KVM refused. */
  setMsrs(msrs: readonly Msr[]): void {
    const set = this.trySetMsrs(msrs);
    if (set < msrs.length) {
      throw new Error(`Cannot set MSR 0x${msrs[set][0].toString(16)}: KVM refuses it`);
    }
  }

  /** Sets MSRs up to the first that KVM refuses; how many those were. */
  trySetMsrs(msrs: readonly Msr[]): number {
    for (let at = 0;; at += MAX_MSRS) {
      const batch = msrs.slice(at, at + MAX_MSRS);
      const bytes = new Uint8Array(Msrs.size + batch.length * MsrEntry.size);
      Msrs.at(bytes.buffer).nmsrs = batch.length;
      batch.forEach(([index, data], i) =>
        Object.assign(MsrEntry.at(bytes.buffer, Msrs.size + i * MsrEntry.size), { index, data })
      );
      // The result counts those that were set: it stops, without an error, at the first it refuses.
      const set = check(ioctlBuffer(this.fd, KVM.SET_MSRS, bytes), "set a vCPU's MSRs");
      if (set < batch.length || batch.length < MAX_MSRS) return at + set;
    }
  }

  /** Those of these MSRs that can be read, with what they hold. */
  msrs(indices: readonly number[]): Msr[] {
    const found: Msr[] = [];
    for (let at = 0; at < indices.length;) {
      const batch = indices.slice(at, at + MAX_MSRS);
      const bytes = new Uint8Array(Msrs.size + batch.length * MsrEntry.size);
      Msrs.at(bytes.buffer).nmsrs = batch.length;
      const entry = (i: number) => MsrEntry.at(bytes.buffer, Msrs.size + i * MsrEntry.size);
      batch.forEach((index, i) => entry(i).index = index);
      // It stops, without an error, at the first that cannot be read: that one is passed over.
      const read = check(ioctlBuffer(this.fd, KVM.GET_MSRS, bytes), "get a vCPU's MSRs");
      for (let i = 0; i < read; i++) found.push([entry(i).index, entry(i).data]);
      at += read === batch.length ? read : read + 1;
    }
    return found;
  }

  regs(): View<typeof Regs.fields> {
    const regs = Regs.create();
    check(ioctlBuffer(this.fd, KVM.GET_REGS, regs.$bytes), "get a vCPU's registers");
    return regs;
  }

  setRegs(regs: View<typeof Regs.fields>): void {
    check(ioctlBuffer(this.fd, KVM.SET_REGS, regs.$bytes), "set a vCPU's registers");
  }

  sregs(): View<typeof Sregs.fields> {
    const sregs = Sregs.create();
    check(ioctlBuffer(this.fd, KVM.GET_SREGS, sregs.$bytes), "get a vCPU's special registers");
    return sregs;
  }

  setSregs(sregs: View<typeof Sregs.fields>): void {
    check(ioctlBuffer(this.fd, KVM.SET_SREGS, sregs.$bytes), "set a vCPU's special registers");
  }

  setFpu(fpu: View<typeof Fpu.fields>): void {
    check(ioctlBuffer(this.fd, KVM.SET_FPU, fpu.$bytes), "set a vCPU's FPU");
  }

  lapic(): View<typeof LapicState.fields> {
    const lapic = LapicState.create();
    check(ioctlBuffer(this.fd, KVM.GET_LAPIC, lapic.$bytes), "get a vCPU's local APIC");
    return lapic;
  }

  setLapic(lapic: View<typeof LapicState.fields>): void {
    check(ioctlBuffer(this.fd, KVM.SET_LAPIC, lapic.$bytes), "set a vCPU's local APIC");
  }
}

/** The TSC frequency in kHz that the vCPU `fd` sees; 0 where this KVM does not tell. */
export function tscKhz(fd: number): number {
  return Math.max(0, ioctl(fd, KVM.GET_TSC_KHZ, 0));
}
