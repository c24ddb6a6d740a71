/**
 * Leaf 0xD: what XSAVE saves and how long that is, for a CPU that has some features and not others
 * (Intel SDM volume 1, chapter 13).
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { registerBits } from "./features.ts";

const LEGACY_BYTES = 576;
/** Which feature brings a bit of XCR0; x87 and SSE are there with XSAVE itself. */
const COMPONENTS: Record<number, string> = {
  2: "avx",
  5: "avx512f",
  6: "avx512f",
  7: "avx512f",
  9: "pku",
};
/** x87 and SSE. */
const ALWAYS = 3;

/** The host's sub-leaves of what is left, with sizes that end where the last of it does. */
export function xsaveLeaves(
  supported: readonly CpuidEntry[],
  features: ReadonlySet<string>,
): CpuidEntry[] {
  const host = supported.filter((e) => e.function === 0xD);
  const main = host.find((e) => e.index === 0);
  if (main === undefined || !features.has("xsave")) return [];
  let mask = ALWAYS;
  let bytes = LEGACY_BYTES;
  const components: CpuidEntry[] = [];
  for (const [bit, feature] of Object.entries(COMPONENTS)) {
    const component = host.find((e) => e.index === Number(bit));
    const has = features.has(feature) && (main.eax >>> Number(bit) & 1) === 1;
    if (!has || component === undefined) continue;
    mask |= 1 << Number(bit);
    bytes = Math.max(bytes, component.eax + component.ebx);
    components.push({ ...component });
  }
  const extensions = host.find((e) => e.index === 1);
  const { value } = registerBits({ leaf: 0xD, index: 1, register: "eax" }, features);
  return [
    // EBX, the size for what is enabled, follows XCR0: KVM keeps it up.
    { ...main, eax: mask, ebx: bytes, ecx: bytes, edx: 0 },
    // No supervisor state: what of it there is differs.
    ...(extensions ? [{ ...extensions, eax: value, ebx: bytes, ecx: 0, edx: 0 }] : []),
    ...components,
  ];
}
