import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { checkCpu, missingFeatures } from "./compatibility.ts";
import { FEATURES } from "./features.ts";

const leaf = (fn: number, registers: Partial<CpuidEntry> = {}): CpuidEntry => (
  { function: fn, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...registers }
);
const INTEL = leaf(0, { ebx: 0x756E_6547, edx: 0x4965_6E69, ecx: 0x6C65_746E });
const AMD = leaf(0, { ebx: 0x6874_7541, edx: 0x6974_6E65, ecx: 0x444D_4163 });

Deno.test("a feature that the guest saw and this host lacks is named", () => {
  const shown = [
    AMD,
    leaf(1, { ecx: 1 << 28 | 1 << 25 }),
    leaf(7, { ebx: 1 << 16, index: 0 }),
    leaf(7, { eax: 1 << 4, index: 1 }),
  ];
  const offered = [AMD, leaf(1, { ecx: 1 << 25 })];
  assertEquals(missingFeatures(shown, offered).sort(), [
    "avx",
    "avx512f",
    "bit 4 of EAX of CPUID 0x7.1",
  ]);
  assertThrows(() => checkCpu(shown, offered), RangeError, "this host lacks");
  checkCpu(shown, shown);
});

Deno.test("what the guest itself switches on is no feature of the host", () => {
  const shown = [AMD, leaf(1, { ecx: 1 << 27, edx: 1 << 9 }), leaf(7, { ecx: 1 << 4 })];
  checkCpu(shown, [AMD]);
});

Deno.test("another vendor's CPU is refused, and one with fewer address bits", () => {
  assertThrows(() => checkCpu([AMD], [INTEL]), RangeError, "it is of amd, this host's of intel");
  const bits = (eax: number) => leaf(0x8000_0008, { eax });
  checkCpu([AMD, bits(0x3027)], [AMD, bits(0x3030)]);
  assertThrows(
    () => checkCpu([AMD, bits(0x3030)], [AMD, bits(0x3027)]),
    RangeError,
    "it has 48 address bits, this host's 39",
  );
});

Deno.test("every feature that has a name is missed by it, and by it alone", () => {
  const ignored = new Set(["apic"]);
  fc.assert(fc.property(fc.constantFrom(...FEATURES), ([name, feature]) => {
    const { leaf: fn, index, register, bit } = feature;
    const shown = [AMD, leaf(fn, { index, [register]: 2 ** bit })];
    assertEquals(missingFeatures(shown, [AMD]), ignored.has(name) ? [] : [name]);
  }));
});
