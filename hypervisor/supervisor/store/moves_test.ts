import { assertEquals, assertThrows } from "@std/assert";
import { CpuSettings, MemorySettings, NetSettings } from "../api/schemas.ts";
import { openDatabase } from "./database.ts";
import { type GuestRecord, GuestStore } from "./guests.ts";
import { MIGRATIONS } from "./migrations.ts";
import { MoveStore } from "./moves.ts";
import { PeerStore } from "./peers.ts";

const GUEST: GuestRecord = {
  ...{ id: "G", name: "web", cpus: 1, memoryMiB: 512, kernel: "k", initrd: null, cmdline: "" },
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  disks: [],
  nets: [{ ...NetSettings.parse({}), id: "N", mac: "52:00:00:00:00:01" }],
  ...{ hotplugPorts: 0, agent: true, cloudInit: null, autostart: true, atShutdown: null },
  ...{ startOrder: null },
  ...{ createdAt: "now", error: null },
};
const ARRIVAL = { move: "M", guest: "G", name: "web", peer: "P" };

Deno.test("a guest that is to come takes its name and addresses, and is not there", () => {
  const database = openDatabase(":memory:");
  const [guests, moves] = [new GuestStore(database), new MoveStore(database)];
  moves.seal(ARRIVAL, GUEST);
  assertEquals(guests.list(), []);
  assertEquals(guests.list({ arriving: true }), [GUEST]);
  const other = { ...GUEST, id: "other", nets: [{ ...GUEST.nets[0], id: "N2" }] };
  assertThrows(() => guests.put({ ...other, nets: [] }), Error, "another guest has this name");
  assertThrows(() => guests.put({ ...other, name: "db" }), Error, "another network card has it");
  assertThrows(() => guests.refuseTakenDevices(GUEST), Error, "this host has one of its nets");
  assertThrows(() => moves.seal({ ...ARRIVAL, move: "M2" }, other), Error, "another guest");
  assertEquals(moves.arrivals().length, 1, "all of it or nothing");
  moves.claim("M");
  assertEquals(guests.list(), [GUEST]);
  moves.forgetArrival("M");
  assertEquals([moves.arrival("M"), guests.list()], [null, [GUEST]]);
  database.close();
});

Deno.test("a guest that does not come leaves nothing", () => {
  const database = openDatabase(":memory:");
  const [guests, moves] = [new GuestStore(database), new MoveStore(database)];
  moves.seal(ARRIVAL, GUEST);
  moves.forgetArrival("M");
  assertEquals(moves.arrival("M")?.state, "sealed", "it is not known yet whose it is");
  moves.drop(ARRIVAL);
  assertEquals([guests.list({ arriving: true }), moves.arrivals()], [[], []]);
  database.close();
});

Deno.test("a guest that comes back is not one that is still to leave", () => {
  const database = openDatabase(":memory:");
  const moves = new MoveStore(database);
  // As a power cut leaves it, between the guest's end here and that of the move.
  moves.begin(ARRIVAL);
  moves.setDeparture("M", "given");
  moves.begin({ ...ARRIVAL, move: "M2", guest: "other" });
  moves.setDeparture("M2", "given");
  moves.seal({ ...ARRIVAL, move: "M3" }, GUEST);
  assertEquals(moves.departures().map(({ move }) => move), ["M2"]);
  database.close();
});

Deno.test("what became of a departure is written down", () => {
  const database = openDatabase(":memory:");
  const [guests, moves] = [new GuestStore(database), new MoveStore(database)];
  const state = () => moves.departures().map((it) => it.state).join();
  moves.begin(ARRIVAL);
  guests.setGiven("G");
  assertEquals(state(), "begun", "nobody was told that it may be given away");
  moves.setDeparture("M", "giving");
  guests.setGiven("other");
  assertEquals(state(), "giving");
  guests.setGiven("G");
  assertEquals(state(), "given");
  moves.endDeparture("M");
  assertEquals(state(), "");
  database.close();
});

Deno.test("a host is one host, however often it is paired with", () => {
  const database = openDatabase(":memory:");
  const store = new PeerStore(database);
  const peer = {
    ...{ id: "1", name: "b", address: "b", fingerprint: "f", certificate: "c" },
    pairedAt: "now",
  };
  store.put(peer);
  const again = store.put({ ...peer, id: "2", name: "c", address: "10.0.0.1", pairedAt: "later" });
  assertEquals(again, { ...peer, name: "c", address: "10.0.0.1", pairedAt: "later" });
  assertEquals(store.list(), [again]);
  assertEquals([store.get("1"), store.byFingerprint("f")], [again, again]);
  store.delete("1");
  assertEquals(store.list(), []);
  database.close();
});

Deno.test("what somebody said outlives the other host's being forgotten, and its guest's end", () => {
  const database = openDatabase(":memory:");
  const [guests, moves] = [new GuestStore(database), new MoveStore(database)];
  const peers = new PeerStore(database);
  const peer = {
    ...{ id: "P", name: "b", address: "b", fingerprint: "f", certificate: "c" },
    pairedAt: "now",
  };
  peers.put(peer);
  let told = 0;
  moves.changed = () => told++;
  guests.put(GUEST);
  moves.begin(ARRIVAL);
  assertEquals(moves.departure("M")?.isSaid, false);
  moves.setDeparture("M", "kept");
  peers.delete("P");
  peers.put({ ...peer, id: "P1" });
  assertEquals(moves.departure("M"), { ...ARRIVAL, peer: "P1", state: "kept", isSaid: false });
  moves.sayDeparture("M", "lost");
  assertEquals([moves.departure("M")?.isSaid, told], [true, 3]);
  peers.delete("P1");
  peers.put({ ...peer, id: "P2" });
  assertEquals(moves.departure("M")?.peer, "P2");
  moves.setDeparture("M", "aside");
  guests.delete("other");
  assertEquals(moves.departures().length, 1);
  guests.delete("G");
  assertEquals(moves.departures(), [], "another guest of this id is another");

  moves.seal(ARRIVAL, GUEST);
  moves.drop(ARRIVAL, { isSaid: true });
  assertEquals([moves.arrival("M")?.state, moves.arrival("M")?.name], ["dropped", "web"]);
  moves.forgetArrival("M");
  moves.seal({ ...ARRIVAL, peer: "P2" }, GUEST);
  moves.sayArrival("M");
  assertEquals(guests.list(), [], "it is not yet done");
  moves.claim("M");
  assertEquals([moves.arrival("M")?.state, guests.list()], ["lost", [GUEST]]);
  moves.setAside("M");
  moves.forgetArrival("M");
  assertEquals(moves.arrival("M")?.state, "aside");
  database.close();
});

Deno.test("moves that an older version began are settled by this one", () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/db`;
  try {
    const before = MIGRATIONS.findIndex((it) => it.includes("departures_before"));
    const old = openDatabase(path, MIGRATIONS.slice(0, before));
    old.exec(
      `INSERT INTO guests (id, name, cpus, memory_mib, cpu, memory, kernel, cmdline, hotplug_ports, agent,
         autostart, created_at)
       VALUES ('G', 'web', 1, 512, '{}', '{}', 'k', '', 0, 1, 1, 'now')`,
    );
    old.exec("INSERT INTO departures VALUES ('M', 'G', 'P', 'giving')");
    old.exec("INSERT INTO arrivals VALUES ('M2', 'gone', 'P', 'claimed', 5e12)");
    old.close();
    const database = openDatabase(path);
    const moves = new MoveStore(database);
    assertEquals(moves.departures(), [{ ...ARRIVAL, state: "giving", isSaid: false }]);
    const arrival = { move: "M2", guest: "gone", name: "", peer: "P" };
    assertEquals(moves.arrivals(), [{ ...arrival, state: "claimed", isSaid: false, wentTo: null }]);
    database.close();
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
