/**
 * Hosts by their CPUID, as KVM would report it.
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { registerBits } from "../cpu/features.ts";

export interface HostOptions {
  vendor: "intel" | "amd";
  features: Iterable<string>;
  /** Tells hosts of the same features apart: models, caches, clocks, what the names do not cover. */
  noise?: number;
  physicalBits?: number;
}

const VENDOR_WORDS = {
  intel: { ebx: 0x756E6547, edx: 0x49656E69, ecx: 0x6C65746E },
  amd: { ebx: 0x68747541, edx: 0x69746E65, ecx: 0x444D4163 },
} as const;

/** Sizes and offsets of the standard format: those of AVX-512 are the vendor's. */
const XSAVE: Record<HostOptions["vendor"], [number, number, number][]> = {
  intel: [[2, 256, 576], [5, 64, 1088], [6, 512, 1152], [7, 1024, 1664], [9, 8, 2688]],
  amd: [[2, 256, 576], [5, 64, 832], [6, 512, 896], [7, 1024, 1408], [9, 8, 2432]],
};

export function cpuidHost(options: HostOptions): CpuidEntry[] {
  const { vendor, noise = 0, physicalBits = 46 } = options;
  const features = new Set(options.features);
  const leaf = (
    fn: number,
    registers: Partial<CpuidEntry>,
    index = 0,
  ): CpuidEntry => {
    const entry = { function: fn, index, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...registers };
    for (const register of ["eax", "ebx", "ecx", "edx"] as const) {
      const { value } = registerBits({ leaf: fn, index, register }, features);
      entry[register] = (entry[register] | value) >>> 0;
    }
    return entry;
  };
  const words = { eax: noise, ebx: noise, ecx: noise, edx: noise };
  return [
    leaf(0, { eax: 0x10 + noise, ...VENDOR_WORDS[vendor] }),
    leaf(1, { eax: 0x50650 + noise, ebx: 0x10800 }),
    leaf(2, words),
    ...[0, 1, 2, 3].map((index) => leaf(4, { ...words, eax: 0x121 + (index << 5) }, index)),
    leaf(5, words),
    leaf(6, { ...words, eax: noise | 4 }),
    leaf(7, {}),
    leaf(0xA, words),
    leaf(0xD, { eax: 0x2E7, ebx: 2696, ecx: 2696 }),
    leaf(0xD, { ebx: noise, ecx: noise }, 1),
    ...XSAVE[vendor].map(([index, eax, ebx]) => leaf(0xD, { eax, ebx }, index)),
    leaf(0x15, words),
    leaf(0x4000_0000, { eax: 0x4000_0001, ebx: 0x4B4D564B, ecx: 0x564B4D56, edx: 0x4D }),
    leaf(0x4000_0001, { eax: 0x0100_7EFB | noise << 16 }),
    leaf(0x8000_0000, { eax: 0x8000_0021 + noise }),
    leaf(0x8000_0001, {}),
    ...[2, 3, 4, 5, 6].map((n) => leaf(0x8000_0000 + n, words)),
    leaf(0x8000_0007, {}),
    leaf(0x8000_0008, { eax: 0x3000 | physicalBits }),
    leaf(0x8000_000A, { eax: 1, ebx: 16, edx: 0xFF }),
    ...[0, 1, 2, 3].map((index) => leaf(0x8000_001D, { ...words, eax: 0x121 }, index)),
    leaf(0x8000_0021, words),
  ];
}
