import { assert, assertEquals } from "@std/assert";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { guestCpuid, physicalBits, vendorOf } from "./cpuid.ts";

type Leaf = readonly [leaf: number, index: number, ...registers: readonly number[]];

const entries = (leaves: readonly Leaf[]): CpuidEntry[] =>
  leaves.map(([leaf, index, eax, ebx, ecx, edx]) => ({
    function: leaf,
    index,
    flags: [4, 7, 0xB, 0xD, 0x1F, 0x8000001D].includes(leaf) ? 1 : 0,
    eax,
    ebx,
    ecx,
    edx,
  }));

/** "DEMO CPU @ 2GHz" in three leaves, as hosts have theirs. */
const BRAND: Leaf[] = [
  [0x80000002, 0, 0x4F4D4544, 0x55504320, 0x32204020, 0x007A4847],
  [0x80000003, 0, 0, 0, 0, 0],
  [0x80000004, 0, 0, 0, 0, 0],
];
const KVM_LEAVES: Leaf[] = [
  [0x40000000, 0, 0x40000001, 0x4B4D564B, 0x564B4D56, 0x4D],
  [0x40000001, 0, 0x01007EFB, 0, 0, 0],
];

/** As KVM reports a server of two hyperthreaded sockets, with everything that must be changed set. */
const INTEL = entries([
  [0x0, 0, 0x20, 0x756E6547, 0x6C65746E, 0x49656E69],
  [0x1, 0, 0x806F8, 0x07400800, 0xFFFFFFFF, 0xFFFFFFFF],
  [0x4, 0, 0xFC004121, 0x02C0003F, 63, 0],
  [0x4, 1, 0xFC004122, 0x01C0003F, 63, 0],
  [0x4, 2, 0xFC004143, 0x03C0003F, 2047, 0],
  [0x4, 3, 0xFC1FC163, 0x0380003F, 0x1FFFF, 4],
  [0x4, 4, 0, 0, 0, 0],
  [0x6, 0, 0xDFF7, 2, 9, 0],
  [0x7, 0, 2, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF],
  [0x7, 1, 0xFFFFFFFF, 0, 0, 0xFFFFFFFF],
  [0xA, 0, 0x08300805, 0, 0, 0x8604],
  [0xB, 0, 1, 2, 0x100, 7],
  [0xB, 1, 7, 0x80, 0x201, 7],
  [0xD, 0, 7, 0x340, 0x340, 0],
  [0x1D, 0, 1, 0, 0, 0],
  [0x1E, 0, 0, 0x4010, 0, 0],
  [0x1F, 0, 1, 2, 0x100, 7],
  ...KVM_LEAVES,
  [0x80000000, 0, 0x80000008, 0, 0, 0],
  [0x80000001, 0, 0, 0, 0x121, 0x2C100800],
  ...BRAND,
  [0x80000008, 0, 0x302E, 0, 0, 0],
]);

const AMD = entries([
  [0x0, 0, 0x10, 0x68747541, 0x444D4163, 0x69746E65],
  [0x1, 0, 0xA00F11, 0x05200800, 0xF6F83203, 0x178BFBFF],
  [0x7, 0, 0, 0x219C97A9, 0x40068C, 0],
  ...KVM_LEAVES,
  [0x80000000, 0, 0x80000021, 0x68747541, 0x444D4163, 0x69746E65],
  [0x80000001, 0, 0xA00F11, 0x40000000, 0x004003F7, 0x2FD3FBFF],
  ...BRAND,
  [0x80000008, 0, 0x3030, 0x111EF657, 0x701F, 0x10000],
  [0x8000000A, 0, 1, 0x8000, 0, 0x101BBCFF],
  [0x8000001D, 0, 0x4121, 0x01C0003F, 63, 0],
  [0x8000001D, 1, 0x4122, 0x01C0003F, 63, 0],
  [0x8000001D, 2, 0x4143, 0x01C0003F, 1023, 2],
  [0x8000001D, 3, 0x3C163, 0x03C0003F, 32767, 1],
  [0x8000001D, 4, 0, 0, 0, 0],
  [0x8000001E, 0, 5, 0x102, 1, 0],
  [0x80000021, 0, 0x204, 0, 0, 0],
]);

function leavesOf(host: CpuidEntry[], options: { id: number; cpus: number; tscKhz?: number }) {
  const all = guestCpuid(host, { tscKhz: 0, ...options });
  return {
    all,
    find: (leaf: number, index = 0): CpuidEntry => {
      const found = all.filter((e) => e.function === leaf && e.index === index);
      assertEquals(found.length, 1, `leaf ${leaf.toString(16)}.${index}`);
      return found[0];
    },
    has: (leaf: number) => all.some((e) => e.function === leaf),
  };
}

const bits = (value: number, high: number, low: number) =>
  (value >>> low) & (2 ** (high - low + 1) - 1);

Deno.test("the vendor and the address bits are read from their leaves", () => {
  assertEquals([vendorOf(INTEL), vendorOf(AMD), vendorOf([])], ["intel", "amd", "other"]);
  assertEquals([physicalBits(INTEL), physicalBits(AMD), physicalBits([])], [46, 48, 36]);
});

Deno.test("every register of every leaf is a 32-bit number, and no leaf is there twice", () => {
  for (const host of [INTEL, AMD]) {
    for (const cpus of [1, 2, 3, 8]) {
      const { all } = leavesOf(host, { id: cpus - 1, cpus, tscKhz: 2_000_000 });
      assertEquals(new Set(all.map((e) => `${e.function}.${e.index}`)).size, all.length);
      for (const e of all) {
        for (const register of [e.eax, e.ebx, e.ecx, e.edx]) assertEquals(register >>> 0, register);
      }
    }
  }
});

Deno.test("a guest's host is left as it was", () => {
  const before = structuredClone(INTEL);
  leavesOf(INTEL, { id: 1, cpus: 4 });
  assertEquals(INTEL, before);
});

Deno.test("leaf 1 has the vCPU's APIC id, how many there are, and that it is a guest", () => {
  for (const host of [INTEL, AMD]) {
    for (const [cpus, ids] of [[1, 1], [2, 2], [3, 4], [5, 8], [8, 8]]) {
      const { ebx, ecx, edx } = leavesOf(host, { id: cpus - 1, cpus }).find(1);
      assertEquals(bits(ebx, 31, 24), cpus - 1);
      assertEquals(bits(ebx, 23, 16), ids);
      assertEquals(bits(ebx, 15, 8) * 8, 64, "CLFLUSH line");
      assertEquals(bits(ecx, 31, 31), 1, "hypervisor");
      assertEquals(bits(ecx, 24, 24), 1, "TSC deadline timer");
      assertEquals(bits(ecx, 15, 15), 0, "PDCM");
      assertEquals(bits(edx, 28, 28), cpus > 1 ? 1 : 0, "HTT");
      assertEquals(bits(edx, 12, 12), 1, "MTRR");
    }
  }
});

Deno.test("a guest is offered no virtualization of its own", () => {
  assertEquals(bits(leavesOf(INTEL, { id: 0, cpus: 1 }).find(1).ecx, 5, 5), 0, "VMX");
  const amd = leavesOf(AMD, { id: 0, cpus: 1 });
  assertEquals(bits(amd.find(0x8000_0001).ecx, 2, 2), 0, "SVM");
  const { eax, ebx, ecx, edx } = amd.find(0x8000_000A);
  assertEquals([eax, ebx, ecx, edx], [0, 0, 0, 0]);
});

Deno.test("a guest is offered nothing that needs the host's permission or its counters", () => {
  const { find, has } = leavesOf(INTEL, { id: 0, cpus: 1 });
  const leaf7 = find(7);
  assertEquals(bits(leaf7.ecx, 5, 5), 0, "WAITPKG");
  for (const bit of [22, 24, 25]) assertEquals(bits(leaf7.edx, bit, bit), 0, "AMX");
  assertEquals([bits(find(7, 1).eax, 21, 21), bits(find(7, 1).edx, 8, 8)], [0, 0], "AMX");
  assertEquals([has(0x1D), has(0x1E)], [false, false], "AMX");
  assertEquals(leaf7.ebx, 0xFFFF_FFFF, "the rest stays");
  const { eax, ebx, ecx, edx } = find(0xA);
  assertEquals([eax, ebx, ecx, edx], [0, 0, 0, 0], "performance counters");
  assertEquals(find(6), { ...find(6), eax: 4, ebx: 0, ecx: 0, edx: 0 });
});

Deno.test("the extended topology numbers one thread per core, all in one package", () => {
  for (const [cpus, shift] of [[1, 0], [2, 1], [3, 2], [8, 3]]) {
    const intel = leavesOf(INTEL, { id: cpus - 1, cpus });
    const amd = leavesOf(AMD, { id: cpus - 1, cpus });
    for (const [guest, leaf] of [[intel, 0xB], [intel, 0x1F], [amd, 0xB]] as const) {
      const [thread, core, none] = [0, 1, 2].map((index) => guest.find(leaf, index));
      assertEquals([bits(thread.eax, 4, 0), thread.ebx, thread.ecx], [0, 1, 1 << 8]);
      assertEquals([bits(core.eax, 4, 0), core.ebx, core.ecx], [shift, cpus, 2 << 8 | 1]);
      assertEquals([none.ebx, bits(none.ecx, 15, 8)], [0, 0]);
      for (const e of [thread, core, none]) assertEquals([e.edx, e.flags], [cpus - 1, 1]);
    }
    assert(!amd.has(0x1F));
  }
});

Deno.test("caches belong to a core, the last level to the package", () => {
  for (const cpus of [1, 4, 8]) {
    const intel = leavesOf(INTEL, { id: 0, cpus });
    for (const index of [0, 1, 2]) assertEquals(bits(intel.find(4, index).eax, 25, 14), 0);
    assertEquals(bits(intel.find(4, 3).eax, 25, 14), cpus - 1);
    for (const index of [0, 1, 2, 3]) {
      assertEquals(bits(intel.find(4, index).eax, 31, 26), cpus - 1, "cores in the package");
      assertEquals(
        intel.find(4, index).ebx,
        INTEL.find((e) => e.index === index && e.function === 4)?.ebx,
      );
    }
    assertEquals(intel.find(4, 4).eax, 0);
    const amd = leavesOf(AMD, { id: 0, cpus });
    for (const index of [0, 1, 2]) assertEquals(bits(amd.find(0x8000_001D, index).eax, 25, 14), 0);
    assertEquals(bits(amd.find(0x8000_001D, 3).eax, 25, 14), cpus - 1);
    assertEquals(bits(amd.find(0x8000_001D, 3).eax, 7, 0), 0x63, "type and level stay");
    assertEquals(amd.find(0x8000_001D, 4).eax, 0);
  }
});

Deno.test("AMD's own leaves agree with the topology", () => {
  for (const [cpus, shift] of [[1, 0], [3, 2], [8, 3]]) {
    const id = cpus - 1;
    const { find } = leavesOf(AMD, { id, cpus });
    const { eax, ebx, ecx } = find(0x8000_0008);
    assertEquals([bits(ecx, 7, 0), bits(ecx, 15, 12)], [cpus - 1, shift]);
    assertEquals([eax, ebx], [0x3030, 0x111EF657], "the rest stays");
    const core = find(0x8000_001E);
    assertEquals(core.eax, id);
    assertEquals([bits(core.ebx, 7, 0), bits(core.ebx, 15, 8)], [id, 0], "core, threads less one");
    assertEquals([bits(core.ecx, 7, 0), bits(core.ecx, 10, 8)], [0, 0], "node, nodes less one");
    const features = find(0x8000_0001).ecx;
    assertEquals(bits(features, 22, 22), 1, "TOPOEXT");
    assertEquals(bits(features, 1, 1), cpus > 1 ? 1 : 0, "CMP_LEGACY");
  }
  const intel = leavesOf(INTEL, { id: 0, cpus: 2 });
  assert(!intel.has(0x8000_001E));
  assertEquals(intel.find(0x8000_0008).ecx, 0);
  assertEquals(intel.find(0x8000_0001).ecx, 0x121);
});

Deno.test("the CPU's name passes through, as does what KVM says of itself", () => {
  for (const host of [INTEL, AMD]) {
    const { find } = leavesOf(host, { id: 0, cpus: 2 });
    const words = [2, 3, 4].flatMap((n) => {
      const { eax, ebx, ecx, edx } = find(0x8000_0000 + n);
      return [eax, ebx, ecx, edx];
    });
    const name = new TextDecoder().decode(Uint32Array.from(words)).replaceAll("\0", "");
    assertEquals(name, "DEMO CPU @ 2GHz");
    assertEquals(find(0x4000_0001).eax, 0x01007EFB);
  }
});

Deno.test("a guest is told its clocks' frequencies where they are known", () => {
  const known = leavesOf(INTEL, { id: 0, cpus: 1, tscKhz: 2_100_000 });
  assertEquals(known.find(0x4000_0000).eax, 0x4000_0010);
  assertEquals([known.find(0x4000_0010).eax, known.find(0x4000_0010).ebx], [2_100_000, 1_000_000]);
  const unknown = leavesOf(INTEL, { id: 0, cpus: 1 });
  assertEquals([unknown.has(0x4000_0010), unknown.find(0x4000_0000).eax], [false, 0x4000_0001]);
});

Deno.test("leaves beyond what the CPU has are not made up", () => {
  const old = entries([
    [0, 0, 0xA, 0x756E6547, 0x6C65746E, 0x49656E69],
    [1, 0, 0x6FB, 0x800, 0, 0],
    [0x80000000, 0, 0x80000008, 0, 0, 0],
  ]);
  const { has } = leavesOf(old, { id: 0, cpus: 2 });
  assertEquals([has(0xB), has(0x1F), has(0x8000_001E)], [false, false, false]);
});
