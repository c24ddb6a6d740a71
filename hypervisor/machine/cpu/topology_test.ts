import { assertEquals } from "@std/assert";
import { cpuidHost } from "../testing/cpuid_host.ts";
import { guestCpuid } from "./cpuid.ts";
import { apicId, flatTopology, type Topology } from "./topology.ts";

const ids = (topology: Topology, cpus: number) =>
  Array.from({ length: cpus }, (_, index) => apicId(topology, index));

Deno.test("threads, then cores, then sockets have bits of the APIC id of their own", () => {
  assertEquals(ids(flatTopology(5), 5), [0, 1, 2, 3, 4]);
  assertEquals(ids({ sockets: 2, cores: 2, threads: 2 }, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
  // Where a count is no power of two, ids are left out.
  assertEquals(ids({ sockets: 2, cores: 3, threads: 1 }, 6), [0, 1, 2, 4, 5, 6]);
  assertEquals(ids({ sockets: 1, cores: 2, threads: 3 }, 6), [0, 1, 2, 4, 5, 6]);
  assertEquals(ids({ sockets: 8, cores: 1, threads: 1 }, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
});

for (const vendor of ["intel", "amd"] as const) {
  Deno.test(`every leaf of ${vendor}'s tells the same topology`, () => {
    const host = cpuidHost({ vendor, features: ["x2apic"] });
    const shapes: [Topology, { thread: number; socket: number }][] = [
      [{ sockets: 2, cores: 2, threads: 2 }, { thread: 1, socket: 2 }],
      [{ sockets: 2, cores: 3, threads: 1 }, { thread: 0, socket: 2 }],
      [{ sockets: 8, cores: 1, threads: 1 }, { thread: 0, socket: 0 }],
      [{ sockets: 1, cores: 1, threads: 4 }, { thread: 2, socket: 2 }],
    ];
    for (const [topology, shift] of shapes) {
      const perSocket = topology.cores * topology.threads;
      const cpus = topology.sockets * perSocket;
      for (let id = 0; id < cpus; id++) {
        const apic = apicId(topology, id);
        const guest = guestCpuid(host, { id, cpus, topology, tscKhz: 0 });
        const leaf = (fn: number, index = 0) =>
          guest.find((e) => e.function === fn && e.index === index)!;
        assertEquals(leaf(1).ebx >>> 24, apic);
        assertEquals(leaf(1).ebx >>> 16 & 0xFF, 1 << shift.socket);
        assertEquals(leaf(1).edx >>> 28 & 1, perSocket > 1 ? 1 : 0);
        assertEquals([leaf(0xB).eax, leaf(0xB).ebx], [shift.thread, topology.threads]);
        assertEquals([leaf(0xB, 1).eax, leaf(0xB, 1).ebx], [shift.socket, perSocket]);
        assertEquals([leaf(0xB).edx, leaf(0xB, 1).edx], [apic, apic]);
        if (vendor === "intel") {
          assertEquals(leaf(4).eax >>> 14 & 0xFFF, topology.threads - 1);
          assertEquals(leaf(4, 3).eax >>> 14 & 0xFFF, perSocket - 1);
          assertEquals(leaf(4).eax >>> 26, (1 << shift.socket - shift.thread) - 1);
        } else {
          assertEquals(leaf(0x8000_0008).ecx, shift.socket << 12 | (perSocket - 1));
          const core = leaf(0x8000_001E);
          assertEquals([core.eax, core.ecx], [apic, apic >> shift.socket]);
          assertEquals(core.ebx >>> 8, topology.threads - 1);
          assertEquals(core.ebx & 0xFF, Math.floor(id / topology.threads) % topology.cores);
        }
      }
    }
  });
}
