/**
 * All that KVM holds of a vCPU, taken from one that does not run and given to a new one. Only its time
 * is elsewhere: see `vcpu_time.ts`.
 *
 * What is taken is the kernel's own structs, byte for byte: nothing here depends on what is in them but
 * where it says so.
 *
 * @module
 */
import { check } from "../sys/errno.ts";
import { type BufferCall, ioctlBuffer } from "../sys/ioctl.ts";
import { KVM, KVM_CAP } from "./ioctls.ts";
import type { CpuidEntry, Kvm } from "./kvm.ts";
import { applyMsrs, entriesOf, MsrReader, packMsrs, readMsr, unpackMsrs } from "./msrs.ts";
import {
  Debugregs,
  LapicState,
  MpState,
  NestedState,
  Regs,
  Sregs,
  Sregs2,
  VcpuEvents,
  Xcrs,
  Xsave,
} from "./structs.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface VcpuState {
  cpuid: CpuidEntry[];
  mpState: number;
  /** `kvm_regs` */
  regs: Bytes;
  /** `kvm_sregs2`, or `kvm_sregs` of a KVM that has no other. */
  sregs: Bytes;
  /** `kvm_xsave`, as long as KVM_CAP_XSAVE2 says. */
  xsave: Bytes;
  /** `kvm_xcrs` */
  xcrs: Bytes;
  /** `kvm_debugregs` */
  debugregs: Bytes;
  /** `kvm_lapic_state` */
  lapic: Bytes;
  /** `kvm_vcpu_events` */
  events: Bytes;
  /** `kvm_msr_entry`, one after the other: of all but the time stamp counter. */
  msrs: Bytes;
  /** `kvm_nested_state`, of a guest that may run guests of its own. */
  nested?: Bytes;
}

export const MSR = {
  TSC: 0x10,
  FEATURE_CONTROL: 0x3A,
  MTRR_CAP_COUNT: 8,
  MCG_CAP: 0x179,
  TSC_DEADLINE: 0x6E0,
} as const;

/** What KVM keeps and does not tell of: memory types, and the banks of machine checks. */
const UNLISTED = [
  0x2FF,
  ...[0x250, 0x258, 0x259],
  ...range(0x268, 8),
  ...range(0x200, 2 * MSR.MTRR_CAP_COUNT),
];
const FIRST_BANK = 0x400;
const BANK_MSRS = 4;
const MAX_BANKS = 32;

/** In leaf 1 ECX, and leaf 0x80000001 ECX. */
const VMX = 1 << 5;
const SVM = 1 << 2;

const LVT_TIMER = 0x320;
const TIMER_MODE = 3 << 17;
const TSC_DEADLINE_MODE = 2 << 17;

function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Whether the guest was shown that it can run guests. */
export function isNested(cpuid: readonly CpuidEntry[]): boolean {
  return cpuid.some((e) =>
    e.function === 1 && (e.ecx & VMX) !== 0 || e.function === 0x8000_0001 && (e.ecx & SVM) !== 0
  );
}

/** What this KVM has of a vCPU's state; the same for all vCPUs. */
export class VcpuStates {
  readonly #msrs: readonly number[];
  /** By how many banks of machine checks there are. */
  readonly #readers = new Map<number, MsrReader>();
  readonly #sregs2: boolean;
  readonly #xsaveBytes: number;
  readonly #nestedBytes: number;

  constructor(kvm: Kvm) {
    // One that is read as it is passed over is no loss: it was not there.
    this.#msrs = [...new Set([...kvm.msrs(), ...UNLISTED])].filter((msr) => msr !== MSR.TSC);
    this.#sregs2 = kvm.extension(KVM_CAP.SREGS2) > 0;
    this.#xsaveBytes = Math.max(Xsave.size, kvm.extension(KVM_CAP.XSAVE2));
    this.#reader(MAX_BANKS);
    this.#nestedBytes = Math.max(0, kvm.extension(KVM_CAP.NESTED_STATE));
  }

  /**
   * Has a vCPU whose thread is out of KVM_RUN do what is still to be done for it: an INIT or SIPI that waits
   * is carried out, which changes all else, and may write to memory. Its state of running is returned.
   */
  settle(fd: number, call: BufferCall = ioctlBuffer): number {
    const mp = MpState.create();
    check(call(fd, KVM.GET_MP_STATE, mp.$bytes), "get a vCPU's state of running");
    return mp.mp_state;
  }

  /**
   * Takes the state of a vCPU whose thread is out of KVM_RUN, with no exit half done; that writes nothing to
   * the guest's memory once it is settled. `cpuid` is what it was given: what follows its registers, KVM finds
   * again by them.
   */
  capture(
    fd: number,
    cpuid: CpuidEntry[],
    { mpState, call = ioctlBuffer }: { mpState?: number; call?: BufferCall } = {},
  ): VcpuState {
    mpState ??= this.settle(fd, call);
    const get = (request: number, size: number, what: string) => {
      const bytes = new Uint8Array(size);
      check(call(fd, request, bytes), `get a vCPU's ${what}`);
      return bytes;
    };
    const nested = this.#nestedBytes > 0 && isNested(cpuid) ? this.#nested(fd, call) : undefined;
    const sregs = this.#sregs2
      ? get(KVM.GET_SREGS2, Sregs2.size, "special registers")
      : get(KVM.GET_SREGS, Sregs.size, "special registers");
    const xsave = this.#xsaveBytes > Xsave.size ? KVM.GET_XSAVE2 : KVM.GET_XSAVE;
    const state = {
      cpuid,
      mpState,
      regs: get(KVM.GET_REGS, Regs.size, "registers"),
      sregs,
      xsave: get(xsave, this.#xsaveBytes, "XSAVE area"),
      xcrs: get(KVM.GET_XCRS, Xcrs.size, "extended control registers"),
      debugregs: get(KVM.GET_DEBUGREGS, Debugregs.size, "debug registers"),
      // Before the MSRs: what the APIC does on being read shows in its deadline.
      lapic: get(KVM.GET_LAPIC, LapicState.size, "local APIC"),
      msrs: this.#captureMsrs(fd, call),
      ...(nested === undefined ? {} : { nested }),
    };
    // Last: what the others have settled shows here.
    return { ...state, events: get(KVM.GET_VCPU_EVENTS, VcpuEvents.size, "events") };
  }

  #captureMsrs(fd: number, call: BufferCall): Bytes {
    const banks = Math.min(Number(readMsr(fd, MSR.MCG_CAP, call) & 0xFFn), MAX_BANKS);
    return this.#reader(banks).read(fd, call);
  }

  #reader(banks: number): MsrReader {
    const known = this.#readers.get(banks);
    if (known !== undefined) return known;
    const reader = new MsrReader([...this.#msrs, ...range(FIRST_BANK, BANK_MSRS * banks)]);
    this.#readers.set(banks, reader);
    return reader;
  }

  #nested(fd: number, call: BufferCall): Bytes {
    const bytes = new Uint8Array(Math.max(this.#nestedBytes, NestedState.size));
    const header = NestedState.at(bytes.buffer);
    header.size = bytes.length;
    check(call(fd, KVM.GET_NESTED_STATE, bytes), "get a vCPU's nested guest");
    return bytes.slice(0, header.size);
  }

  /**
   * Makes a new vCPU go on from `state`, whose CPUID this host can offer. `time` is called when the
   * time stamp counter has to be right, which is before a deadline is set that refers to it.
   */
  apply(fd: number, state: VcpuState, time: () => void): void {
    const set = (request: number, bytes: Bytes, what: string) =>
      check(ioctlBuffer(fd, request, bytes), `set a vCPU's ${what}`);
    // CPUID first, before this is called: what registers and MSRs may hold depends on it.
    set(
      KVM.SET_MP_STATE,
      MpState.create({ mp_state: state.mpState }).$bytes,
      "state of running",
    );
    // The APIC's base with them, so before the APIC; and the mode that RFLAGS are for.
    this.#setSregs(set, state.sregs);
    if (state.nested !== undefined) {
      // Only a CPU on which VMX or SVM is switched on can be in a nested guest.
      applyMsrs(fd, entriesOf(state.msrs, MSR.FEATURE_CONTROL));
      set(KVM.SET_NESTED_STATE, state.nested, "nested guest");
    }
    // Drops what waits to be injected, so before the events.
    set(KVM.SET_REGS, state.regs, "registers");
    set(KVM.SET_XSAVE, this.#xsave(state.xsave), "XSAVE area");
    set(KVM.SET_XCRS, state.xcrs, "extended control registers");
    set(KVM.SET_DEBUGREGS, state.debugregs, "debug registers");
    // Starts its timer anew and forgets its deadline, so before that; and it knows the timer's mode, in
    // which alone there is a deadline.
    set(KVM.SET_LAPIC, state.lapic, "local APIC");
    applyMsrs(fd, entriesOf(state.msrs, MSR.TSC_DEADLINE, { others: true }));
    time();
    applyMsrs(fd, this.#deadline(state));
    set(KVM.SET_VCPU_EVENTS, state.events, "events");
  }

  #setSregs(set: (request: number, bytes: Bytes, what: string) => void, sregs: Bytes): void {
    if (this.#sregs2 === (sregs.length === Sregs2.size)) {
      return set(this.#sregs2 ? KVM.SET_SREGS2 : KVM.SET_SREGS, sregs, "special registers");
    }
    // The two begin alike. What only one has is in the events, or is loaded from the page tables.
    const other = new Uint8Array(this.#sregs2 ? Sregs2.size : Sregs.size);
    other.set(sregs.subarray(0, Sregs2.offsets.flags));
    set(this.#sregs2 ? KVM.SET_SREGS2 : KVM.SET_SREGS, other, "special registers");
  }

  /** As long as this KVM wants it; components that it has no place for must be at rest. */
  #xsave(saved: Bytes): Bytes {
    const bytes = new Uint8Array(Math.max(this.#xsaveBytes, saved.length));
    bytes.set(saved);
    if (bytes.subarray(this.#xsaveBytes).some((byte) => byte !== 0)) {
      throw new RangeError(
        `Cannot set a vCPU's XSAVE area: it has ${saved.length} bytes, this KVM ${this.#xsaveBytes}`,
      );
    }
    return bytes;
  }

  /**
   * A deadline of 0 may be of one that has passed while its interrupt was still on its way. In the
   * past, it makes one interrupt, which a guest that waits for none takes for a late one; lost, it
   * would leave a CPU asleep that waits for it.
   */
  #deadline({ msrs, lapic }: VcpuState): Bytes {
    const view = new DataView(lapic.buffer, lapic.byteOffset);
    const counts = (view.getUint32(LVT_TIMER, true) & TIMER_MODE) === TSC_DEADLINE_MODE;
    const deadlines = unpackMsrs(entriesOf(msrs, MSR.TSC_DEADLINE));
    return packMsrs(deadlines.map(([index, data]) => [index, data === 0n && counts ? 1n : data]));
  }
}
