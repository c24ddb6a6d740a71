/**
 * Hyper-V's enlightenments, by which Windows knows that it is a guest and leaves out what costs a
 * guest much (Hypervisor Top Level Functional Specification 6.0b, section 2.4; Linux's
 * Documentation/virt/kvm/x86/cpuid.rst and api.rst, KVM_GET_SUPPORTED_HV_CPUID).
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";

/** KVM's own leaves move from 0x40000000 by as much. */
export const KVM_LEAVES_BESIDE_HYPERV = 0x100;

const BASE = 0x4000_0000;
const FEATURES = BASE + 3;
const RECOMMENDATIONS = BASE + 4;
const LIMITS = BASE + 5;
/** "Hv#1": the interface that the leaves after it are of. */
const INTERFACE = 0x3123_7648;

/** Leaf 0x40000003, EAX: the registers that the guest may use. */
const PRIVILEGES = {
  VP_RUNTIME: 1 << 0,
  REFERENCE_COUNTER: 1 << 1,
  SYNIC: 1 << 2,
  SYNTHETIC_TIMERS: 1 << 3,
  APIC: 1 << 4,
  HYPERCALLS: 1 << 5,
  VP_INDEX: 1 << 6,
  REFERENCE_TSC: 1 << 9,
  FREQUENCIES: 1 << 11,
} as const;
/** EDX of the same: frequencies are there to be read. */
const FREQUENCY_REGISTERS = 1 << 8;

/** Leaf 0x40000004, EAX: what the guest had better do. */
const APIC_BY_REGISTERS = 1 << 3;
const RELAXED_TIMING = 1 << 5;
const NO_AUTO_EOI = 1 << 9;
/** EBX: never tell the hypervisor of a lock that one waits for. */
const NEVER_NOTIFY_SPINLOCK = 0xFFFF_FFFF;

export interface HyperV {
  /** KVM_GET_SUPPORTED_HV_CPUID. */
  readonly supported: readonly CpuidEntry[];
  /** Whether the vCPUs have KVM_CAP_HYPERV_SYNIC2, on which the synthetic timers stand. */
  readonly synic: boolean;
}

/** The leaves from 0x40000000 to 0x40000006. */
export function hyperVLeaves({ supported, synic }: HyperV): CpuidEntry[] {
  const offered = (leaf: number) => supported.find((e) => e.function === leaf);
  const wanted = PRIVILEGES.VP_RUNTIME | PRIVILEGES.REFERENCE_COUNTER | PRIVILEGES.APIC |
    PRIVILEGES.HYPERCALLS | PRIVILEGES.VP_INDEX | PRIVILEGES.REFERENCE_TSC |
    PRIVILEGES.FREQUENCIES | (synic ? PRIVILEGES.SYNIC | PRIVILEGES.SYNTHETIC_TIMERS : 0);
  const privileges = (offered(FEATURES)?.eax ?? 0) & wanted;
  const registers = (offered(FEATURES)?.edx ?? 0) & FREQUENCY_REGISTERS;
  const advice = (offered(RECOMMENDATIONS)?.eax ?? 0) &
    (APIC_BY_REGISTERS | RELAXED_TIMING | NO_AUTO_EOI);
  const leaf = (
    fn: number,
    [eax, ebx = 0, ecx = 0, edx = 0]: readonly [number, number?, number?, number?],
  ): CpuidEntry => ({
    function: fn,
    ...{ index: 0, flags: 0 },
    ...{ eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 },
  });
  const name = new DataView(new TextEncoder().encode("Microsoft Hv").buffer);
  const word = (i: number) => name.getUint32(i * 4, true);
  const limits = offered(LIMITS);
  return [
    leaf(BASE, [BASE + 6, word(0), word(1), word(2)]),
    leaf(BASE + 1, [INTERFACE]),
    // Version 10.0, build 14393: that of Windows Server 2016.
    leaf(BASE + 2, [14393, 10 << 16]),
    leaf(FEATURES, [privileges, 0, 0, registers]),
    leaf(RECOMMENDATIONS, [advice, NEVER_NOTIFY_SPINLOCK]),
    leaf(LIMITS, [limits?.eax ?? 0, limits?.ebx ?? 0]),
    leaf(BASE + 6, [0]),
  ];
}
