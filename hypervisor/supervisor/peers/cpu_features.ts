/**
 * What a processor can, as far as guests depend on it: for an early word about whether a guest can move
 * here. The VMMs look at every bit, but only after its disks have gone.
 *
 * @module
 */

/** Instructions that programs use once they have seen them; Linux's names. */
const FEATURES = new Set([
  ...["pni", "ssse3", "sse4_1", "sse4_2", "sse4a", "popcnt", "aes", "pclmulqdq", "movbe", "f16c"],
  ...["avx", "avx2", "fma", "bmi1", "bmi2", "abm", "adx", "rdrand", "rdseed", "sha_ni", "gfni"],
  ...["vaes", "vpclmulqdq", "avx_vnni", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
  ...["avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg"],
  ...["avx512_vpopcntdq", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"],
  ...["xsaveopt", "xsavec", "xsaves", "fsgsbase", "pcid", "invpcid", "pku", "clflushopt", "clwb"],
  ...["rdpid", "la57", "lahf_lm", "cx16", "fxsr", "rdtscp", "erms", "fsrm", "movdiri", "movdir64b"],
]);

export interface Processor {
  vendor: string;
  features: string[];
}

/** Out of /proc/cpuinfo. */
export function parseProcessor(cpuinfo: string): Processor {
  const field = (name: string) =>
    new RegExp(`^${name}\\s*:\\s*(.*\\S)\\s*$`, "m").exec(cpuinfo)?.[1] ?? "";
  const features = field("flags").split(/\s+/).filter((flag) => FEATURES.has(flag));
  return { vendor: field("vendor_id").slice(0, 100), features: [...new Set(features)].sort() };
}

/** Why a guest that ran on one processor cannot go on with another; null where nothing speaks against it. */
export function whyNotOn(
  here: Processor,
  from: Processor,
  model: string,
): string | null {
  if (here.vendor !== from.vendor) {
    return `its processor is of ${from.vendor || "nobody"}, and this host's of ${here.vendor}`;
  }
  // Under a name it has seen what the name stands for, which the VMM compares.
  if (model !== "host") return null;
  const missing = from.features.filter((feature) =>
    FEATURES.has(feature) && !here.features.includes(feature)
  );
  if (missing.length === 0) return null;
  const listed = missing.slice(0, 5).join(", ") + (missing.length > 5 ? ", ..." : "");
  return `it may use ${listed}, which this host's processor has not`;
}
