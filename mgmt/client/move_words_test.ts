import { assertEquals } from "@std/assert";
import { demoHost, newGuest } from "../testing/fake_data.ts";
import { newMove, newPeer } from "../testing/fake_life_data.ts";
import { cautionsOf, diskWords, stateWords } from "./move_words.ts";

const host = demoHost();
const guest = newGuest({ name: "web", kernel: "k", memoryMiB: 1024, disks: [{ sizeMiB: 4096 }] });

Deno.test("what may keep a host from taking a guest in is told beforehand", () => {
  const tell = (peer: Parameters<typeof newPeer>[0], more = {}) =>
    cautionsOf(newPeer(peer), { guest: { ...guest, ...more }, host });
  assertEquals(tell({}), []);
  assertEquals(tell({ memoryFreeMiB: 1024, diskFreeMiB: 4096 }), []);
  assertEquals(tell({ memoryFreeMiB: 1023, diskFreeMiB: 4095 }), [
    "It has less memory free than the guest has",
    "It has less storage free than the guest’s disks may take",
  ]);
  const added = { memory: { ...guest.memory, requestedMiB: 128 } };
  assertEquals(tell({ memoryFreeMiB: 1024 }, added).length, 1);
  const shared = { disks: guest.disks.map((disk) => ({ ...disk, store: "nas" })) };
  assertEquals(tell({ diskFreeMiB: 0 }, shared), [], "it need not come there");
  assertEquals(tell({ cpuModel: "Intel Xeon" }), [
    "It has another CPU, and the guest uses all that this host’s one has",
  ]);
  assertEquals(tell({ cpuModel: "Intel Xeon" }, { cpu: { ...guest.cpu, model: "x86-64-v2" } }), []);
  assertEquals(tell({ memoryFreeMiB: null, diskFreeMiB: null, cpuModel: null }), []);
  assertEquals(tell({ reachable: false, memoryFreeMiB: 1 }), []);
});

Deno.test("which disks may stay where they are is told beforehand", () => {
  const on = (...stores: (string | null)[]) => ({
    ...guest,
    disks: stores.map((store, i) => ({ ...guest.disks[0], name: `d${i}`, store })),
  });
  const end = "and goes on running meanwhile but for an instant at the end";
  assertEquals(diskWords(on(null), { snapshots: 0 }), `It moves with its disks, ${end}`);
  assertEquals(
    diskWords(on(null, "nas"), { snapshots: 1 }),
    `It moves with its disks and snapshots, ${end}. d1 (store nas) stays where it is if that host has ` +
      "the store too; if not, it moves into its own storage",
  );
  assertEquals(
    diskWords(on("nas", "san"), { snapshots: 0 }).includes("(store san) stay where they are"),
    true,
  );
});

Deno.test("how it stands with a move is told by who has to say or hear what", () => {
  const tell = (more: Parameters<typeof newMove>[1]) => stateWords(newMove(guest, more));
  assertEquals(
    tell({}),
    "It was given to garage, which has not said yet that it has it. It does not start here until then",
  );
  assertEquals(
    tell({ direction: "coming" }),
    "All of it is here, and garage has yet to say whether it is this host’s",
  );
  assertEquals(
    tell({ state: "said", peerName: null }),
    "It was settled by hand, and a host that was removed has not heard it yet",
  );
  assertEquals(tell({ state: "aside" }).startsWith("garage has it, where this host was"), true);
});
