/**
 * Whether a CPU can go on with a guest that was shown another one.
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { physicalBits, vendorOf } from "./cpuid.ts";
import { FEATURES } from "./features.ts";

type Register = "eax" | "ebx" | "ecx" | "edx";

interface Word {
  leaf: number;
  index: number;
  register: Register;
  /** Bits that follow what the guest has done, or that are no features. */
  ignored?: number;
}

/** What follows CR4 and the like: MONITOR by MISC_ENABLE, OSXSAVE; APIC by its base; OSPKE. */
const IGNORED: Readonly<Record<string, number>> = {
  "1.0.ecx": 1 << 3 | 1 << 27,
  "1.0.edx": 1 << 9,
  "7.0.ecx": 1 << 4,
};

/** Words of features of which none has a name here. */
const NAMELESS: readonly Word[] = [
  { leaf: 7, index: 1, register: "eax" },
  { leaf: 7, index: 1, register: "edx" },
  { leaf: 7, index: 2, register: "edx" },
  // What XSAVE saves.
  { leaf: 0xD, index: 0, register: "eax" },
  { leaf: 0xD, index: 0, register: "edx" },
  { leaf: 0xD, index: 1, register: "ecx" },
  // KVM's own features, also where Hyper-V's come first.
  { leaf: 0x4000_0001, index: 0, register: "eax" },
  { leaf: 0x4000_0101, index: 0, register: "eax" },
  { leaf: 0x8000_000A, index: 0, register: "edx" },
  { leaf: 0x8000_0021, index: 0, register: "eax" },
];

const key = (word: Word) => `${word.leaf.toString(16)}.${word.index}.${word.register}`;

const WORDS: ReadonlyMap<string, Word> = new Map(
  [
    ...NAMELESS,
    ...[...FEATURES.values()].map(({ leaf, index, register }) => (
      { leaf, index, register }
    )),
  ].map((word) => [key(word), { ...word, ignored: IGNORED[key(word)] }]),
);

function value(entries: readonly CpuidEntry[], { leaf, index, register }: Word): number {
  return entries.find((e) => e.function === leaf && e.index === index)?.[register] ?? 0;
}

function nameOf(word: Word, bit: number): string {
  for (const [name, feature] of FEATURES) {
    const { leaf, index, register } = feature;
    if (leaf === word.leaf && index === word.index && register === word.register) {
      if (feature.bit === bit) return name;
    }
  }
  const { leaf, index, register } = word;
  return `bit ${bit} of ${register.toUpperCase()} of CPUID 0x${leaf.toString(16)}.${index}`;
}

/** What a guest was shown and this host cannot offer: names of features; empty where it has all. */
export function missingFeatures(
  shown: readonly CpuidEntry[],
  offered: readonly CpuidEntry[],
): string[] {
  const missing: string[] = [];
  for (const word of WORDS.values()) {
    const lacking = value(shown, word) & ~value(offered, word) & ~(word.ignored ?? 0);
    for (let bit = 0; bit < 32; bit++) {
      if ((lacking >>> bit & 1) === 1) missing.push(nameOf(word, bit));
    }
  }
  return missing;
}

/** Throws a RangeError that says why a guest which was shown one CPU cannot go on with another. */
export function checkCpu(shown: readonly CpuidEntry[], offered: readonly CpuidEntry[]): void {
  const refuse = (why: string) => new RangeError(`Cannot go on with the guest's CPU: ${why}`);
  if (vendorOf(shown) !== vendorOf(offered)) {
    throw refuse(`it is of ${vendorOf(shown)}, this host's of ${vendorOf(offered)}`);
  }
  const missing = missingFeatures(shown, offered);
  if (missing.length > 0) throw refuse(`this host lacks ${missing.join(", ")}`);
  const [bits, has] = [physicalBits(shown), physicalBits(offered)];
  if (bits > has) throw refuse(`it has ${bits} address bits, this host's ${has}`);
}
