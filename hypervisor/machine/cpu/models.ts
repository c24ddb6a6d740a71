/**
 * Named CPUs that are the same on every host that can offer them, so that a guest may move.
 *
 * The `x86-64-v2` to `-v4` are the levels of the x86-64 psABI (version 1.0, section 3.1.1) and what
 * an operating system needs beside: the same features whatever the vendor. The others are what
 * servers of their generation have, as their vendors document them.
 *
 * @module
 */
import type { CpuVendor } from "./cpuid.ts";

export interface CpuModel {
  /** Whose CPUs alone can be this one; any without. */
  readonly vendor?: CpuVendor;
  readonly features: readonly string[];
  /** Family, model and stepping: one of the first that had the features, by vendor. */
  readonly signature: Partial<Record<CpuVendor, readonly [number, number, number]>>;
  readonly brand: string;
}

const words = (text: string) => text.trim().split(/\s+/);

/** Every 64-bit CPU has these, and a kernel wants them; not what only virtual 8086 mode gains by. */
const V1 = words(`
  fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2
  syscall nx lm`);
const V2 = [...V1, ...words("sse3 ssse3 sse4_1 sse4_2 cx16 popcnt lahf_lm rdtscp")];
const V3 = [...V2, ...words("xsave avx avx2 fma f16c movbe bmi1 bmi2 abm")];
const V4 = [...V3, ...words("avx512f avx512bw avx512cd avx512dq avx512vl")];

const SERVER = words(`
  pclmulqdq aes rdrand fsgsbase smep smap rdseed adx clflushopt pdpe1gb 3dnowprefetch
  xsaveopt xsavec xgetbv1`);
const SKYLAKE = [...V4, ...SERVER, ...words("pcid invpcid erms clwb pku spec_ctrl ssbd")];
const ICELAKE = [
  ...SKYLAKE,
  ...words(`
    avx512ifma avx512vbmi avx512_vbmi2 gfni vaes vpclmulqdq avx512_vnni avx512_bitalg
    avx512_vpopcntdq sha_ni umip rdpid fsrm wbnoinvd xsaves`),
];
const EPYC = [
  ...V3,
  ...SERVER,
  ...words("sha_ni cr8_legacy sse4a misalignsse osvw mmxext fxsr_opt ibpb"),
];
const MILAN = [
  ...EPYC,
  ...words(`
    clwb umip rdpid wbnoinvd clzero xsaveerptr ibrs stibp amd_ssbd pcid invpcid erms fsrm vaes
    vpclmulqdq pku xsaves`),
];

export const MODELS: Readonly<Record<string, CpuModel>> = {
  "x86-64-v2": {
    features: V2,
    signature: { intel: [6, 0x1A, 3], amd: [0x17, 1, 2] },
    brand: "x86-64-v2",
  },
  "x86-64-v3": {
    features: V3,
    signature: { intel: [6, 0x3C, 4], amd: [0x17, 1, 2] },
    brand: "x86-64-v3",
  },
  "x86-64-v4": {
    features: V4,
    signature: { intel: [6, 0x55, 4], amd: [0x19, 0x11, 1] },
    brand: "x86-64-v4",
  },
  "Skylake-Server": {
    vendor: "intel",
    features: SKYLAKE,
    signature: { intel: [6, 0x55, 4] },
    brand: "Intel Xeon Processor (Skylake)",
  },
  "Icelake-Server": {
    vendor: "intel",
    features: ICELAKE,
    signature: { intel: [6, 0x6A, 6] },
    brand: "Intel Xeon Processor (Icelake)",
  },
  "EPYC": {
    vendor: "amd",
    features: EPYC,
    signature: { amd: [0x17, 1, 2] },
    brand: "AMD EPYC Processor",
  },
  "EPYC-Milan": {
    vendor: "amd",
    features: MILAN,
    signature: { amd: [0x19, 1, 1] },
    brand: "AMD EPYC-Milan Processor",
  },
};

/** EAX of leaf 1: families from 15 on and models from 16 on go on in their extended fields. */
export function signatureBits([family, model, stepping]: readonly [number, number, number]) {
  const base = Math.min(family, 0xF);
  return ((family - base) << 20 | model >> 4 << 16 | base << 8 | (model & 0xF) << 4 | stepping) >>>
    0;
}
