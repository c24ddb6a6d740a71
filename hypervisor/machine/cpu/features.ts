/**
 * CPU features by the names that Linux shows in /proc/cpuinfo, and where CPUID has them (Intel SDM
 * volume 2, CPUID; AMD APM volume 3, appendix E).
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";

type Register = "eax" | "ebx" | "ecx" | "edx";

export interface FeatureBit {
  readonly leaf: number;
  readonly index: number;
  readonly register: Register;
  readonly bit: number;
}

/** Names by bit; a name of no bit is left out. */
const REGISTERS: readonly (readonly [number, number, Register, Record<number, string>])[] = [
  [1, 0, "ecx", {
    ...{ 0: "sse3", 1: "pclmulqdq", 5: "vmx", 9: "ssse3", 12: "fma", 13: "cx16", 17: "pcid" },
    ...{ 19: "sse4_1", 20: "sse4_2", 21: "x2apic", 22: "movbe", 23: "popcnt" },
    ...{ 24: "tsc_deadline_timer", 25: "aes", 26: "xsave", 28: "avx", 29: "f16c", 30: "rdrand" },
  }],
  [1, 0, "edx", {
    ...{ 0: "fpu", 1: "vme", 2: "de", 3: "pse", 4: "tsc", 5: "msr", 6: "pae", 7: "mce", 8: "cx8" },
    ...{ 9: "apic", 11: "sep", 12: "mtrr", 13: "pge", 14: "mca", 15: "cmov", 16: "pat" },
    ...{ 17: "pse36", 19: "clflush", 23: "mmx", 24: "fxsr", 25: "sse", 26: "sse2" },
  }],
  [7, 0, "ebx", {
    ...{ 0: "fsgsbase", 3: "bmi1", 5: "avx2", 7: "smep", 8: "bmi2", 9: "erms", 10: "invpcid" },
    ...{ 16: "avx512f", 17: "avx512dq", 18: "rdseed", 19: "adx", 20: "smap", 21: "avx512ifma" },
    ...{ 23: "clflushopt", 24: "clwb", 28: "avx512cd", 29: "sha_ni", 30: "avx512bw" },
    ...{ 31: "avx512vl" },
  }],
  [7, 0, "ecx", {
    ...{ 1: "avx512vbmi", 2: "umip", 3: "pku", 6: "avx512_vbmi2", 8: "gfni", 9: "vaes" },
    ...{ 10: "vpclmulqdq", 11: "avx512_vnni", 12: "avx512_bitalg", 14: "avx512_vpopcntdq" },
    ...{ 16: "la57", 22: "rdpid" },
  }],
  [7, 0, "edx", {
    ...{ 4: "fsrm", 10: "md_clear", 26: "spec_ctrl", 27: "intel_stibp", 29: "arch_capabilities" },
    ...{ 31: "ssbd" },
  }],
  [0xD, 1, "eax", { 0: "xsaveopt", 1: "xsavec", 2: "xgetbv1", 3: "xsaves" }],
  [0x8000_0001, 0, "ecx", {
    ...{ 0: "lahf_lm", 2: "svm", 4: "cr8_legacy", 5: "abm", 6: "sse4a", 7: "misalignsse" },
    ...{ 8: "3dnowprefetch", 9: "osvw" },
  }],
  [0x8000_0001, 0, "edx", {
    ...{ 11: "syscall", 20: "nx", 22: "mmxext", 25: "fxsr_opt", 26: "pdpe1gb", 27: "rdtscp" },
    ...{ 29: "lm" },
  }],
  [0x8000_0007, 0, "edx", { 8: "constant_tsc" }],
  [0x8000_0008, 0, "ebx", {
    ...{ 0: "clzero", 2: "xsaveerptr", 9: "wbnoinvd", 12: "ibpb", 14: "ibrs", 15: "stibp" },
    ...{ 24: "amd_ssbd" },
  }],
];

export const FEATURES: ReadonlyMap<string, FeatureBit> = new Map(
  REGISTERS.flatMap(([leaf, index, register, names]) =>
    Object.entries(names).map(([bit, name]) =>
      [name, { leaf, index, register, bit: Number(bit) }] as const
    )
  ),
);

/** What cannot be there without another: the first needs each of the others. */
const NEEDS: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^(xsaveopt|xsavec|xgetbv1|xsaves|avx|pku)$/, ["xsave"]],
  [/^(avx2|fma|f16c|vaes|vpclmulqdq|avx512f)$/, ["avx"]],
  [/^avx512(?!f$)/, ["avx512f"]],
];

export function featuresOf(entries: readonly CpuidEntry[]): Set<string> {
  const found = new Set<string>();
  for (const [name, { leaf, index, register, bit }] of FEATURES) {
    const entry = entries.find((e) => e.function === leaf && e.index === index);
    if (entry !== undefined && (entry[register] >>> bit & 1) === 1) found.add(name);
  }
  return found;
}

/** Takes out what lacks what it needs. */
export function consistent(features: ReadonlySet<string>): Set<string> {
  const left = new Set(features);
  for (let before = -1; before !== left.size;) {
    before = left.size;
    for (const [names, needed] of NEEDS) {
      for (const name of left) {
        if (names.test(name) && !needed.every((it) => left.has(it))) left.delete(name);
      }
    }
  }
  return left;
}

/** The bits of a register that are among `features`, and those that any name stands for. */
export function registerBits(
  where: Omit<FeatureBit, "bit">,
  features: ReadonlySet<string>,
): { value: number; known: number } {
  let value = 0;
  let known = 0;
  for (const [name, { leaf, index, register, bit }] of FEATURES) {
    if (leaf !== where.leaf || index !== where.index || register !== where.register) continue;
    known |= 1 << bit;
    if (features.has(name)) value |= 1 << bit;
  }
  return { value: value >>> 0, known: known >>> 0 };
}
