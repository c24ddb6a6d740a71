import { assert, assertEquals } from "@std/assert";
import { cpuidHost } from "../testing/cpuid_host.ts";
import { guestCpuid } from "./cpuid.ts";

const ALL = 0xFFFF_FFFF;
const leaf = (fn: number, eax: number, edx = 0) => ({
  function: fn,
  ...{ index: 0, flags: 0, eax, ebx: 7, ecx: 0, edx },
});
/** A KVM that offers more than is taken. */
const OFFERED = [
  leaf(0x4000_0003, ALL, ALL),
  leaf(0x4000_0004, ALL),
  leaf(0x4000_0005, ALL),
  leaf(0x4000_000A, ALL),
];

function guest(synic: boolean, supported = OFFERED) {
  const host = cpuidHost({ vendor: "intel", features: ["x2apic"] });
  const all = guestCpuid(host, {
    ...{ id: 0, cpus: 1, tscKhz: 2_000_000 },
    hyperv: { supported, synic },
  });
  const find = (fn: number) => {
    const found = all.filter((e) => e.function === fn);
    assertEquals(found.length, 1, fn.toString(16));
    return found[0];
  };
  return { all, find };
}

Deno.test("Hyper-V is found first, KVM a step behind it with all that it says", () => {
  const { find } = guest(true);
  const name = (fn: number) => {
    const { ebx, ecx, edx } = find(fn);
    return new TextDecoder().decode(Uint32Array.of(ebx, ecx, edx));
  };
  assertEquals(name(0x4000_0000), "Microsoft Hv");
  assertEquals(find(0x4000_0000).eax, 0x4000_0006);
  assertEquals(new TextDecoder().decode(Uint32Array.of(find(0x4000_0001).eax)), "Hv#1");
  assertEquals(name(0x4000_0100), "KVMKVMKVM\0\0\0");
  assertEquals(find(0x4000_0100).eax, 0x4000_0110);
  assertEquals(find(0x4000_0101).eax, 0x0100_7EFB);
  assertEquals(find(0x4000_0110).eax, 2_000_000);
});

Deno.test("a guest gets the enlightenments that are meant, and no more than KVM offers", () => {
  const privileges = (synic: boolean) => guest(synic).find(0x4000_0003).eax;
  // VP runtime, counter, SynIC, timers, APIC, hypercalls, VP index, reference TSC, frequencies.
  assertEquals(privileges(true), 0b1010_0111_1111);
  assertEquals(privileges(false), 0b1010_0111_0011);
  assertEquals(guest(true).find(0x4000_0004).eax, 1 << 3 | 1 << 5 | 1 << 9);
  const { all, find } = guest(true, [leaf(0x4000_0003, 1 << 6), leaf(0x4000_0004, 1 << 5)]);
  assertEquals([find(0x4000_0003).eax, find(0x4000_0003).edx], [1 << 6, 0]);
  assertEquals(find(0x4000_0004).eax, 1 << 5);
  for (const { eax, ebx, ecx, edx } of all) {
    for (const register of [eax, ebx, ecx, edx]) assert(register >>> 0 === register);
  }
});
