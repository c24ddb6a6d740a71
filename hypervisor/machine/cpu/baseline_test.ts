import { assert, assertEquals, assertThrows } from "@std/assert";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { cpuidHost } from "../testing/cpuid_host.ts";
import { chooseCpu } from "./baseline.ts";
import { guestCpuid, physicalBits } from "./cpuid.ts";
import { consistent, FEATURES, featuresOf } from "./features.ts";
import { MODELS, signatureBits } from "./models.ts";

const ALL = [...FEATURES.keys()];
const EVERYTHING = {
  intel: ALL.filter((it) => it !== "svm"),
  amd: ALL.filter((it) => it !== "vmx"),
};
const KVM_ANYWHERE = ["x2apic", "tsc_deadline_timer"];

const find = (entries: readonly CpuidEntry[], leaf: number, index = 0) =>
  entries.find((e) => e.function === leaf && e.index === index);

for (const [name, model] of Object.entries(MODELS)) {
  for (const vendor of ["intel", "amd"] as const) {
    if (model.vendor !== undefined && model.vendor !== vendor) continue;
    Deno.test(`${name} is the same on every ${vendor} host that has what it needs`, () => {
      const hosts = [
        cpuidHost({ vendor, features: [...model.features, ...KVM_ANYWHERE] }),
        cpuidHost({ vendor, features: EVERYTHING[vendor], noise: 3, physicalBits: 52 }),
        cpuidHost({ vendor, features: EVERYTHING[vendor], noise: 9, physicalBits: 39 }),
      ];
      const [first, ...others] = hosts.map((host) => chooseCpu(host, { model: name }));
      for (const other of others) assertEquals(other, first);
      assertEquals(featuresOf(first), new Set([...model.features, ...KVM_ANYWHERE]));
      assertEquals(physicalBits(first), 39);
      const guest = hosts.map((host) =>
        guestCpuid(chooseCpu(host, { model: name }), { id: 1, cpus: 2, tscKhz: 0 })
      );
      assertEquals(guest[1], guest[0]);
      for (const e of guest[0]) {
        for (const register of [e.eax, e.ebx, e.ecx, e.edx]) assertEquals(register >>> 0, register);
      }
      const keys = guest[0].map((e) => `${e.function}.${e.index}`);
      assertEquals(new Set(keys).size, keys.length);
    });

    Deno.test(`${name} on ${vendor} is refused for each feature that a host lacks, by its name`, () => {
      for (const feature of model.features) {
        const features = EVERYTHING[vendor].filter((it) => it !== feature);
        assertThrows(
          () => chooseCpu(cpuidHost({ vendor, features }), { model: name }),
          RangeError,
          `Cannot offer the CPU "${name}": this host lacks ${feature}`,
        );
      }
    });
  }
}

Deno.test("the psABI's levels have what it lists, each all of the one before", () => {
  const added = (name: string, before: readonly string[]) =>
    MODELS[name].features.filter((it) => !before.includes(it)).sort();
  const v2 = MODELS["x86-64-v2"].features;
  const v3 = MODELS["x86-64-v3"].features;
  for (const feature of ["sse3", "ssse3", "sse4_1", "sse4_2", "cx16", "popcnt", "lahf_lm"]) {
    assert(v2.includes(feature), feature);
  }
  // OSXSAVE is the guest's to switch on; abm has LZCNT.
  assertEquals(
    added("x86-64-v3", v2),
    ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"],
  );
  assertEquals(
    added("x86-64-v4", v3),
    ["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"],
  );
});

Deno.test("every model stands on names that are known, and on features that agree", () => {
  for (const [name, { features, vendor, signature }] of Object.entries(MODELS)) {
    assertEquals(features.filter((it) => !FEATURES.has(it)), [], name);
    assertEquals(new Set(features).size, features.length, name);
    assertEquals(consistent(new Set(features)), new Set(features), name);
    for (const it of vendor ? [vendor] : ["intel", "amd"] as const) {
      assert(signature[it], `${name} on ${it}`);
    }
  }
});

Deno.test("a signature has family, model and stepping where CPUID has them", () => {
  assertEquals(signatureBits([6, 0x55, 4]), 0x50654);
  assertEquals(signatureBits([0x17, 1, 2]), 0x800F12);
  assertEquals(signatureBits([0x19, 1, 1]), 0xA00F11);
});

Deno.test("a CPU without XSAVE has no leaf of it; one with AVX alone ends where that does", () => {
  const host = cpuidHost({ vendor: "intel", features: EVERYTHING.intel });
  const leaves = (model: string, vendor: "intel" | "amd" = "intel") =>
    chooseCpu(cpuidHost({ vendor, features: EVERYTHING[vendor] }), { model })
      .filter((e) => e.function === 0xD).map(({ index, eax, ecx }) => [index, eax, ecx]);
  assertEquals(leaves("x86-64-v2"), []);
  assertEquals(leaves("x86-64-v3"), [[0, 7, 832], [1, 0, 0], [2, 256, 0]]);
  assertEquals(leaves("x86-64-v4")[0], [0, 0xE7, 2688]);
  assertEquals(leaves("x86-64-v4", "amd")[0], [0, 0xE7, 2432]);
  assertEquals(leaves("Skylake-Server")[0], [0, 0x2E7, 2696]);
  const { ebx } = find(chooseCpu(host, { model: "Skylake-Server" }), 0xD, 1)!;
  assertEquals(ebx, 2696);
});

Deno.test("features are added by name where the host has them, and taken away with what needs them", () => {
  const host = cpuidHost({ vendor: "intel", features: EVERYTHING.intel });
  const with_ = featuresOf(chooseCpu(host, { model: "x86-64-v3", features: { aes: true } }));
  assert(with_.has("aes"));
  const without = featuresOf(chooseCpu(host, { model: "x86-64-v4", features: { avx: false } }));
  assertEquals([...without].filter((it) => /^(avx|fma|f16c)/.test(it)), []);
  assert(without.has("bmi2"));
  const poor = cpuidHost({ vendor: "intel", features: MODELS["x86-64-v2"].features });
  assertThrows(
    () => chooseCpu(poor, { model: "x86-64-v2", features: { aes: true, rdrand: true } }),
    RangeError,
    "this host lacks aes, rdrand",
  );
  // Not to have what the host lacks is no wish that could fail.
  chooseCpu(poor, { model: "x86-64-v2", features: { aes: false } });
});

Deno.test("the host's CPU is as it is, or less what is not wanted", () => {
  const host = cpuidHost({ vendor: "amd", features: EVERYTHING.amd, noise: 5 });
  assertEquals(chooseCpu(host, { model: "host" }), host);
  const less = chooseCpu(host, { model: "host", features: { avx512f: false } });
  const left = featuresOf(less);
  assert(![...left].some((it) => it.startsWith("avx512")) && left.has("avx2"));
  assertEquals(find(less, 0xD)!.eax, 0x207);
  assertEquals(find(less, 0x15), find(host, 0x15));
  assertThrows(
    () =>
      chooseCpu(cpuidHost({ vendor: "amd", features: [] }), {
        model: "host",
        features: { avx: true },
      }),
    RangeError,
    "this host lacks avx",
  );
});

Deno.test("a vendor's model is refused on the other's CPU, a name that is none anywhere", () => {
  const host = cpuidHost({ vendor: "amd", features: EVERYTHING.amd });
  assertThrows(() => chooseCpu(host, { model: "Icelake-Server" }), RangeError, "it is of Intel");
  assertThrows(() => chooseCpu(host, { model: "486" }), RangeError, "known are host, x86-64-v2,");
  const narrow = cpuidHost({ vendor: "amd", features: EVERYTHING.amd, physicalBits: 36 });
  assertThrows(() => chooseCpu(narrow, { model: "EPYC" }), RangeError, "36 address bits");
});

Deno.test("nested virtualization is there when asked for, and refused where KVM has it off", () => {
  const lookAt = (vendor: "intel" | "amd", model: string, nested: boolean) => {
    const host = cpuidHost({ vendor, features: EVERYTHING[vendor] });
    const chosen = chooseCpu(host, { model, nested });
    const guest = guestCpuid(chosen, { id: 0, cpus: 1, tscKhz: 0, nested });
    const features = featuresOf(guest);
    return [features.has("vmx") || features.has("svm"), find(guest, 0x8000_000A)?.edx ?? 0];
  };
  for (const model of ["host", "x86-64-v3"]) {
    assertEquals(lookAt("intel", model, true)[0], true);
    assertEquals(lookAt("intel", model, false)[0], false);
    assertEquals(lookAt("amd", model, true), [true, 0xFF]);
    assertEquals(lookAt("amd", model, false), [false, 0]);
  }
  const off = cpuidHost({ vendor: "intel", features: MODELS["x86-64-v3"].features });
  assertThrows(
    () => chooseCpu(off, { model: "host", nested: true }),
    RangeError,
    "load kvm_intel with nested=1",
  );
});
