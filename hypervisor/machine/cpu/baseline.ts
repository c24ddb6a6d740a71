/**
 * What a host's KVM offers, cut down to a named CPU: nothing stays that could differ between two
 * hosts which offer the same name.
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } from "../../kvm/ioctls.ts";
import { type CpuVendor, vendorOf } from "./cpuid.ts";
import { consistent, FEATURES, featuresOf, registerBits } from "./features.ts";
import { type CpuModel, MODELS, signatureBits } from "./models.ts";
import { xsaveLeaves } from "./xsave.ts";

/** Addresses that a guest may need: those of the 64-bit BARs end below this. */
const PHYSICAL_BITS = 39;
const LINEAR_BITS = 48;
/** KVM's own features, of leaf 0x40000001, that every KVM since Linux 5.10 has. */
const KVM_FEATURES = 0x0100_7EFB;
/** What KVM emulates on any CPU: the local APIC's newer mode, and its deadline timer. */
const EMULATED = ["x2apic", "tsc_deadline_timer"];
/** AMD repeats these of leaf 1's EDX in leaf 0x80000001. */
const AMD_REPEATED = 0x0183_F3FF;

export interface CpuChoice {
  /** "host", or one of {@linkcode MODELS}. */
  model: string;
  /** On top of the model's: true to have, false not to. */
  features?: Readonly<Record<string, boolean>>;
  /** VMX or SVM stay. */
  nested?: boolean;
}

/** What KVM offers, as the chosen CPU; throws a RangeError with what this host lacks. */
export function chooseCpu(supported: readonly CpuidEntry[], choice: CpuChoice): CpuidEntry[] {
  const { model: name, features: changes = {}, nested = false } = choice;
  const refuse = (why: string) => new RangeError(`Cannot offer the CPU "${name}": ${why}`);
  const offered = featuresOf(supported);
  const vendor = vendorOf(supported);
  if (nested && !offered.has("vmx") && !offered.has("svm")) {
    const module = vendor === "amd" ? "kvm_amd" : "kvm_intel";
    throw refuse(
      `this host does not offer nested virtualization: load ${module} with nested=1`,
    );
  }
  const asked = Object.keys(changes).filter((feature) => changes[feature]);
  const unasked = Object.keys(changes).filter((feature) => !changes[feature]);
  const model = name === "host" ? undefined : MODELS[name];
  if (model === undefined && name !== "host") {
    throw refuse(`known are host, ${Object.keys(MODELS).join(", ")}`);
  }
  if (model?.vendor !== undefined && model.vendor !== vendor) {
    throw refuse(`it is of ${model.vendor === "amd" ? "AMD" : "Intel"}, this host's CPU is not`);
  }
  const wanted = new Set([...model?.features ?? [], ...asked]);
  for (const feature of unasked) wanted.delete(feature);
  const lacking = [...wanted].filter((feature) => !offered.has(feature));
  if (lacking.length > 0) throw refuse(`this host lacks ${lacking.join(", ")}`);
  if (model === undefined) return without(supported, unasked);

  const features = consistent(wanted);
  for (const feature of EMULATED) {
    if (offered.has(feature) && !unasked.includes(feature)) features.add(feature);
  }
  if (nested) features.add(offered.has("vmx") ? "vmx" : "svm");
  const bits = (supported.find((e) => e.function === 0x8000_0008)?.eax ?? 36) & 0xFF;
  if (bits < PHYSICAL_BITS) throw refuse(`this host has ${bits} address bits`);
  return baseline(supported, { model, features, vendor, nested });
}

/** The host's CPU with some features taken out, and what needs them. */
function without(supported: readonly CpuidEntry[], unasked: readonly string[]): CpuidEntry[] {
  if (unasked.length === 0) return [...supported];
  const left = featuresOf(supported);
  for (const feature of unasked) left.delete(feature);
  const features = consistent(left);
  const entries = supported.filter((e) => e.function !== 0xD).map((e) => withFeatures(e, features));
  return [...entries, ...xsaveLeaves(supported, features)];
}

/** A leaf with every bit that has a name as `features` say, and all others as they are. */
function withFeatures(entry: CpuidEntry, features: ReadonlySet<string>): CpuidEntry {
  const out = { ...entry };
  for (const register of ["eax", "ebx", "ecx", "edx"] as const) {
    const where = { leaf: entry.function, index: entry.index, register };
    const { value, known } = registerBits(where, features);
    out[register] = (entry[register] & ~known | value) >>> 0;
  }
  return out;
}

const leaf = (
  fn: number,
  registers: Partial<Pick<CpuidEntry, "eax" | "ebx" | "ecx" | "edx">>,
  index?: number,
): CpuidEntry => ({
  function: fn,
  index: index ?? 0,
  flags: index === undefined ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
  ...{ eax: 0, ebx: 0, ecx: 0, edx: 0 },
  ...registers,
});

interface Baseline {
  model: CpuModel;
  features: ReadonlySet<string>;
  vendor: CpuVendor;
  nested: boolean;
}

function baseline(
  supported: readonly CpuidEntry[],
  { model, features, vendor, nested }: Baseline,
): CpuidEntry[] {
  const host = supported.find((e) => e.function === 0)!;
  const vendorName = { ebx: host.ebx, ecx: host.ecx, edx: host.edx };
  const amd = vendor === "amd";
  const feature = (fn: number, register: "eax" | "ebx" | "ecx" | "edx", index = 0) =>
    registerBits({ leaf: fn, index, register }, features).value;
  const eax = signatureBits(model.signature[vendor] ?? model.signature.intel!);
  const edx1 = feature(1, "edx");
  const edx8 = feature(0x8000_0001, "edx") | (amd ? edx1 & AMD_REPEATED : 0);
  const maxExtended = amd ? 0x8000_001E : 0x8000_0008;
  const brand = new TextEncoder().encode(model.brand.padEnd(48, "\0"));
  const text = new DataView(brand.buffer);
  const word = (i: number) => text.getUint32(i * 4, true);
  return [
    leaf(0, { eax: 0xD, ...vendorName }),
    leaf(1, { eax, ecx: feature(1, "ecx"), edx: edx1 }),
    // Caches are in leaf 4, says the descriptor 0xFF.
    ...(amd ? [] : [leaf(2, { eax: 0xFF01 }), ...caches(4)]),
    leaf(6, { eax: (supported.find((e) => e.function === 6)?.eax ?? 0) & 1 << 2 }),
    leaf(7, { ebx: feature(7, "ebx"), ecx: feature(7, "ecx"), edx: feature(7, "edx") }, 0),
    leaf(0xB, {}, 0),
    ...xsaveLeaves(supported, features),
    ...supported.filter((e) => e.function === 0x4000_0000),
    ...supported.filter((e) => e.function === 0x4000_0001)
      .map((e) => ({ ...e, eax: e.eax & KVM_FEATURES })),
    leaf(0x8000_0000, { eax: maxExtended, ...(amd ? vendorName : {}) }),
    leaf(0x8000_0001, {
      eax: amd ? eax : 0,
      ecx: feature(0x8000_0001, "ecx"),
      edx: edx8 >>> 0,
    }),
    ...[0, 1, 2].map((n) =>
      leaf(0x8000_0002 + n, {
        ...{ eax: word(n * 4), ebx: word(n * 4 + 1) },
        ...{ ecx: word(n * 4 + 2), edx: word(n * 4 + 3) },
      })
    ),
    // L1 and L2 as AMD's older leaves have them; Intel has 0x80000006 alone.
    ...(amd ? [leaf(0x8000_0005, { ecx: 0x2008_0140, edx: 0x2008_0140 })] : []),
    leaf(0x8000_0006, { ecx: 0x0200_6140 }),
    leaf(0x8000_0007, { edx: feature(0x8000_0007, "edx") }),
    leaf(0x8000_0008, {
      eax: LINEAR_BITS << 8 | PHYSICAL_BITS,
      ebx: feature(0x8000_0008, "ebx"),
    }),
    ...(amd ? caches(0x8000_001D) : []),
    // What its nested virtualization can do is the host's; such a guest moves between equals.
    ...(nested ? supported.filter((e) => e.function === 0x8000_000A) : []),
  ];
}

/** 32 KiB for data and for instructions, 512 KiB, and 16 MiB for all: who shares them comes later. */
function caches(fn: number): CpuidEntry[] {
  const SELF_INITIALIZING = 1 << 8;
  const cache = (index: number, type: number, level: number, ways: number, sets: number) =>
    leaf(fn, {
      eax: type | level << 5 | SELF_INITIALIZING,
      ebx: ((ways - 1) << 22 | 63) >>> 0,
      ecx: sets - 1,
    }, index);
  return [
    cache(0, 1, 1, 8, 64),
    cache(1, 2, 1, 8, 64),
    cache(2, 3, 2, 8, 1024),
    cache(3, 3, 3, 16, 16384),
    leaf(fn, {}, 4),
  ];
}

/** Whether there is such a feature, for whoever checks a configuration. */
export function isFeature(name: string): boolean {
  return FEATURES.has(name);
}
