/**
 * What KVM holds of a machine, as sections of a snapshot.
 *
 * @module
 */
import { KVM_MAX_CPUID_ENTRIES } from "../../kvm/ioctls.ts";
import {
  CpuidEntry2,
  Debugregs,
  Irqchip,
  LapicState,
  MsrEntry,
  PitState2,
  Regs,
  Sregs,
  Sregs2,
  VcpuEvents,
  Xcrs,
  Xsave,
} from "../../kvm/structs.ts";
import type { VcpuState } from "../../kvm/vcpu_state.ts";
import type { GuestTime } from "../../kvm/vcpu_time.ts";
import type { VmState } from "../../kvm/vm_state.ts";
import type { SectionReader, SectionWriter } from "./fields.ts";

/** A state of running is a small number. */
const MAX_MP_STATE = 10;
const MAX_MSRS = 4096;
/** With the tiles of AMX, 11 KiB. */
const MAX_XSAVE = 65536;
const MAX_NESTED = 65536;
const CHIPS = 3;

/** Those that are a struct of the kernel's. */
const STRUCTS = {
  regs: [Regs.size],
  sregs: [Sregs2.size, Sregs.size],
  xcrs: [Xcrs.size],
  debugregs: [Debugregs.size],
  lapic: [LapicState.size],
  events: [VcpuEvents.size],
} as const;
const STRUCT_NAMES = Object.keys(STRUCTS) as (keyof typeof STRUCTS)[];

export function writeVcpu(out: SectionWriter, id: number, state: VcpuState): void {
  const name = (what: string) => `vcpu${id}/${what}`;
  out.records(name("cpuid"), state.cpuid, {
    size: CpuidEntry2.size,
    write: (view, entry) => Object.assign(CpuidEntry2.at(view.buffer, view.byteOffset), entry),
  });
  out.records(name("mp_state"), [state.mpState], {
    size: 4,
    write: (view, value) => view.setUint32(0, value, true),
  });
  for (const what of STRUCT_NAMES) out.bytes(name(what), state[what]);
  out.bytes(name("xsave"), state.xsave);
  if (state.nested !== undefined) out.bytes(name("nested"), state.nested);
  out.bytes(name("msrs"), state.msrs);
}

export function readVcpu(sections: SectionReader, id: number): VcpuState {
  const name = (what: string) => `vcpu${id}/${what}`;
  const cpuid = sections.records(name("cpuid"), CpuidEntry2.size, KVM_MAX_CPUID_ENTRIES)
    .map((view) => {
      const e = CpuidEntry2.at(view.buffer, view.byteOffset);
      const { function: leaf, index, flags, eax, ebx, ecx, edx } = e;
      return { function: leaf, index, flags, eax, ebx, ecx, edx };
    });
  const msrs = sections.list(name("msrs"), MsrEntry.size, MAX_MSRS);
  const mp = sections.sized(name("mp_state"), 4);
  const mpState = new DataView(mp.buffer).getUint32(0, true);
  if (mpState > MAX_MP_STATE) sections.refuse(name("mp_state"), `is ${mpState}`);
  const structs = Object.fromEntries(
    STRUCT_NAMES.map((what) => [what, sections.sized(name(what), ...STRUCTS[what])]),
  ) as Record<keyof typeof STRUCTS, Uint8Array<ArrayBuffer>>;
  const xsave = sections.bytes(name("xsave"));
  if (xsave.length < Xsave.size || xsave.length > MAX_XSAVE) {
    sections.refuse(name("xsave"), `has ${xsave.length} bytes`);
  }
  const nested = sections.has(name("nested")) ? sections.bytes(name("nested")) : undefined;
  if (nested !== undefined && !isNestedState(nested)) {
    sections.refuse(name("nested"), "is not as long as it says");
  }
  return { cpuid, mpState, ...structs, xsave, msrs, ...(nested ? { nested } : {}) };
}

/** KVM takes the length from within. */
function isNestedState(bytes: Uint8Array): boolean {
  const HEADER = 128;
  if (bytes.length < HEADER || bytes.length > MAX_NESTED) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true) === bytes.length;
}

export function writeTime(out: SectionWriter, time: GuestTime): void {
  out.records("time", [time.at, BigInt(time.khz), ...time.counters], {
    size: 8,
    write: (view, value) => view.setBigUint64(0, value, true),
  });
}

export function readTime(sections: SectionReader, cpus: number): GuestTime {
  const bytes = sections.sized("time", 8 * (2 + cpus));
  const [at, khz, ...counters] = new BigUint64Array(bytes.buffer);
  if (khz >= 2n ** 31n) sections.refuse("time", `is of a TSC of ${khz} kHz`);
  return { at, khz: Number(khz), counters };
}

export function writeVm(out: SectionWriter, state: VmState): void {
  state.chips.forEach((chip, i) => out.bytes(`vm/chip${i}`, chip));
  out.bytes("vm/pit", state.pit);
  out.records("vm/clock", [state.clock.value, state.clock.at], {
    size: 8,
    write: (view, value) => view.setBigUint64(0, value, true),
  });
}

export function readVm(sections: SectionReader): VmState {
  const chips = Array.from({ length: CHIPS }, (_, i) => {
    const chip = sections.sized(`vm/chip${i}`, Irqchip.size);
    // Which one it is.
    if (Irqchip.at(chip.buffer).chip_id !== i) sections.refuse(`vm/chip${i}`, "is of another chip");
    return chip;
  });
  const clock = new BigUint64Array(sections.sized("vm/clock", 16).buffer);
  return {
    chips,
    pit: sections.sized("vm/pit", PitState2.size),
    clock: { value: clock[0], at: clock[1] },
  };
}
