/**
 * What CPUID tells a guest: what KVM can offer on this CPU, with what depends on the guest filled in
 * (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux's Documentation/virt/kvm/x86/cpuid.rst).
 *
 * @module
 */
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from "../../kvm/ioctls.ts";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { type HyperV, hyperVLeaves, KVM_LEAVES_BESIDE_HYPERV } from "./hyperv.ts";
import { apicId, apicIdBits, flatTopology, type Topology } from "./topology.ts";

export type CpuVendor = "intel" | "amd" | "other";

const VENDORS: Record<string, CpuVendor> = {
  GenuineIntel: "intel",
  AuthenticAMD: "amd",
  HygonGenuine: "amd",
};

/** Leaf 1, ECX */
const ECX1_VMX = 1 << 5;
const ECX1_PDCM = 1 << 15;
const ECX1_TSC_DEADLINE = 1 << 24;
const ECX1_HYPERVISOR = 1 << 31;
/** Leaf 1, EDX */
const EDX1_MTRR = 1 << 12;
const EDX1_HTT = 1 << 28;
/** Leaf 7, ECX */
const ECX7_WAITPKG = 1 << 5;
/** Leaf 7: AMX tiles need a permission that the host's process would have to ask for. */
const EDX7_AMX = 1 << 22 | 1 << 24 | 1 << 25;
const EAX7_1_AMX = 1 << 21;
const EDX7_1_AMX = 1 << 8;
/** Leaf 0x80000001, ECX */
const ECX8_SVM = 1 << 2;
const ECX8_TOPOEXT = 1 << 22;
const ECX8_CMP_LEGACY = 1 << 1;

const KVM_CPUID_FEATURES = 0x4000_0001;
const KVM_CPUID_TIMING = 0x4000_0010;

export function vendorOf(entries: readonly CpuidEntry[]): CpuVendor {
  const leaf = entries.find((e) => e.function === 0);
  if (leaf === undefined) return "other";
  const words = Uint32Array.of(leaf.ebx, leaf.edx, leaf.ecx);
  return VENDORS[new TextDecoder().decode(words)] ?? "other";
}

/** Guest physical address bits (leaf 0x80000008, EAX 7:0); 36 where the CPU does not say. */
export function physicalBits(entries: readonly CpuidEntry[]): number {
  const leaf = entries.find((e) => e.function === 0x8000_0008);
  return leaf === undefined ? 36 : leaf.eax & 0xFF;
}

export interface CpuidOptions {
  /** Which vCPU, 0 to cpus - 1. */
  id: number;
  cpus: number;
  /** Of as many CPUs; by default every one is a core of its own in one package. */
  topology?: Topology;
  /** VMX or SVM stay, where the host offers them. */
  nested?: boolean;
  /** What KVM offers of Hyper-V, for a guest that is to find it. */
  hyperv?: HyperV;
  /** The guest's TSC in kHz, 0 if not known. */
  tscKhz: number;
}

/** The leaves for one vCPU of `cpus`. */
export function guestCpuid(
  supported: readonly CpuidEntry[],
  options: CpuidOptions,
): CpuidEntry[] {
  const vendor = vendorOf(supported);
  const { topology = flatTopology(options.cpus), nested = false, hyperv } = options;
  const bits = apicIdBits(topology);
  const place: Place = {
    ...{ vendor, nested, topology, bits },
    apic: apicId(topology, options.id),
    perSocket: topology.cores * topology.threads,
  };
  const entries = supported
    .filter((e) => !TOPOLOGY_LEAVES.has(e.function) && !AMX_LEAVES.has(e.function))
    .map((e) => patch({ ...e }, place));
  const max = supported.find((e) => e.function === 0)?.eax ?? 0;
  if (max >= 0xB) entries.push(...extendedTopology(0xB, place));
  if (max >= 0x1F && vendor === "intel") entries.push(...extendedTopology(0x1F, place));
  if (vendor === "amd") entries.push(...amdTopology(supported, place));
  if (options.tscKhz > 0) entries.push(...timing(entries, options.tscKhz));
  if (hyperv === undefined) return entries;
  // KVM's own leaves make room: a guest that knows both finds both.
  for (const e of entries) {
    if (e.function >>> 8 !== KVM_LEAVES) continue;
    if (e.function === KVM_LEAVES << 8) e.eax += KVM_LEAVES_BESIDE_HYPERV;
    e.function += KVM_LEAVES_BESIDE_HYPERV;
  }
  return [...entries, ...hyperVLeaves(hyperv)];
}

/** 0x400000xx */
const KVM_LEAVES = 0x40_0000;

/** Where a vCPU is among the others. */
interface Place {
  vendor: CpuVendor;
  nested: boolean;
  topology: Topology;
  bits: { thread: number; socket: number };
  apic: number;
  perSocket: number;
}

/** Made anew, because KVM passes on what the host's CPU says of itself. */
const TOPOLOGY_LEAVES = new Set([0xB, 0x1F, 0x8000_001E, 0x8000_0026]);

/** A leaf that is not there reads as zeros. */
const AMX_LEAVES = new Set([0x1D, 0x1E]);

function patch(e: CpuidEntry, o: Place): CpuidEntry {
  const smp = o.perSocket > 1;
  switch (e.function) {
    case 0x1:
      // EBX: APIC id, logical processors, CLFLUSH line in 8-byte units.
      e.ebx = (e.ebx & 0xFF | 8 << 8 | 1 << o.bits.socket << 16 | o.apic << 24) >>> 0;
      e.ecx =
        (e.ecx & ~((o.nested ? 0 : ECX1_VMX) | ECX1_PDCM) | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR) >>>
        0;
      e.edx = ((smp ? e.edx | EDX1_HTT : e.edx & ~EDX1_HTT) | EDX1_MTRR) >>> 0;
      break;
    case 0x4:
      // Only Intel's: levels 1 and 2 belong to a core, level 3 to the package.
      if ((e.eax & 0x1F) !== 0) {
        e.eax = cacheSharing(e.eax, o) | ((1 << o.bits.socket - o.bits.thread) - 1) << 26;
      }
      e.eax >>>= 0;
      break;
    case 0x6:
      // Always-running APIC timer; no power management that a guest could do anything with.
      Object.assign(e, { eax: e.eax & 1 << 2, ebx: 0, ecx: 0, edx: 0 });
      break;
    case 0x7:
      if (e.index === 0) {
        e.ecx = (e.ecx & ~ECX7_WAITPKG) >>> 0;
        e.edx = (e.edx & ~EDX7_AMX) >>> 0;
      } else if (e.index === 1) {
        e.eax = (e.eax & ~EAX7_1_AMX) >>> 0;
        e.edx = (e.edx & ~EDX7_1_AMX) >>> 0;
      }
      break;
    case 0xA:
      Object.assign(e, { eax: 0, ebx: 0, ecx: 0, edx: 0 });
      break;
    case 0x8000_0001:
      e.ecx &= ~((o.nested ? 0 : ECX8_SVM) | ECX8_CMP_LEGACY);
      if (o.vendor === "amd") e.ecx |= ECX8_TOPOEXT | (smp ? ECX8_CMP_LEGACY : 0);
      e.ecx >>>= 0;
      break;
    case 0x8000_0008:
      // ECX: number of threads less one, and how many APIC id bits number them.
      if (o.vendor === "amd") e.ecx = o.bits.socket << 12 | (o.perSocket - 1);
      break;
    case 0x8000_000A:
      if (!o.nested) Object.assign(e, { eax: 0, ebx: 0, ecx: 0, edx: 0 });
      break;
    case 0x8000_001D:
      if ((e.eax & 0x1F) !== 0) e.eax = cacheSharing(e.eax, o) >>> 0;
      break;
  }
  return e;
}

/** EAX of a cache leaf with "threads that share it" (bits 25:14) set. */
function cacheSharing(eax: number, { perSocket, topology }: Place): number {
  const level = eax >> 5 & 7;
  const sharing = (level >= 3 ? perSocket : topology.threads) - 1;
  return eax & 0x3FFF | sharing << 14;
}

/** Extended topology: how far to shift the x2APIC id, which is in EDX, for a core's and a socket's. */
function extendedTopology(leaf: number, place: Place): CpuidEntry[] {
  const { bits, topology, perSocket, apic } = place;
  const THREAD = 1;
  const CORE = 2;
  const flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  const level = (index: number, type: number, shift: number, count: number) => ({
    function: leaf,
    index,
    flags,
    eax: shift,
    ebx: count,
    ecx: type << 8 | index,
    edx: apic,
  });
  return [
    level(0, THREAD, bits.thread, topology.threads),
    level(1, CORE, bits.socket, perSocket),
    level(2, 0, 0, 0),
  ];
}

/** Leaf 0x8000001E: APIC id, core id and its threads, and a node for each socket. */
function amdTopology(supported: readonly CpuidEntry[], place: Place): CpuidEntry[] {
  const { apic, bits, topology } = place;
  const max = supported.find((e) => e.function === 0x8000_0000)?.eax ?? 0;
  if (max < 0x8000_001E) return [];
  const core = apic >> bits.thread & (1 << bits.socket - bits.thread) - 1;
  const ebx = (topology.threads - 1) << 8 | core;
  const ecx = apic >> bits.socket;
  return [{ function: 0x8000_001E, index: 0, flags: 0, eax: apic, ebx, ecx, edx: 0 }];
}

/** Leaf 0x40000010: TSC and local APIC timer in kHz, so that the guest need not measure them. */
function timing(entries: CpuidEntry[], tscKhz: number): CpuidEntry[] {
  const base = entries.find((e) => e.function === 0x4000_0000);
  if (base === undefined || !entries.some((e) => e.function === KVM_CPUID_FEATURES)) return [];
  base.eax = Math.max(base.eax, KVM_CPUID_TIMING);
  const APIC_BUS_KHZ = 1_000_000;
  return [{
    function: KVM_CPUID_TIMING,
    index: 0,
    flags: 0,
    eax: tscKhz,
    ebx: APIC_BUS_KHZ,
    ecx: 0,
    edx: 0,
  }];
}
