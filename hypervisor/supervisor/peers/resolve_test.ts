/** Somebody says whose a guest is, as the other host does not; and what becomes of it when that one is back. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { killProcess } from "../../sys/processes.ts";
import { ApiError } from "../api/client.ts";
import type { Guest, UnsettledMove } from "../api/schemas.ts";
import type { PeerChannel } from "./channel.ts";
import { openDatabase } from "../store/database.ts";
import { GuestStore } from "../store/guests.ts";
import { MoveStore } from "../store/moves.ts";
import { at, cutOff, isDecided, NOWHERE, OFF, restart, RUNS, until } from "../testing/move_cuts.ts";
import type { TestHost } from "../testing/test_host.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

function moves(host: TestHost): Promise<UnsettledMove[]> {
  return host.local.client.call("listMoves", {});
}

async function resolve(host: TestHost, runs: "here" | "there", confirm = "web"): Promise<void> {
  const [{ id }] = await moves(host);
  await host.local.client.call("resolveMove", { params: { id }, body: { runs, confirm } });
}

async function refused(act: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(act, ApiError)).problem.message;
}

/** `a` gave the guest away, and `b` does not answer: it went before the word came, or when it had it. */
async function givenAway(hosts: TwoHosts, { runs = true } = {}): Promise<Guest> {
  const { a, b } = hosts;
  const guest = await hosts.guest("slow-go");
  const gone = Promise.withResolvers<void>();
  const cut = () => {
    b.supervisor.close();
    gone.resolve();
  };
  if (runs) {
    const end = b.supervisor.events.subscribe(({ name, data }) => {
      if (name !== "guest" || data.id !== guest.id) return;
      end();
      // Within the event: nobody has heard of it yet.
      cut();
    });
    await hosts.move(guest.id);
  } else await cutOff(hosts, guest, { when: isDecided, afterMs: 150, cut });
  await gone.promise;
  await b.down();
  await until(() => whereabouts(a, guest.id).state === "stopped", "the VMM's end");
  await restart(a);
  return guest;
}

/** `b` keeps the guest, and its VMM was not told that it may run it: supervisor and VMM of `a` went before. */
async function undecided(hosts: TwoHosts): Promise<Guest> {
  const guest = await hosts.guest();
  const cut = () => {
    killProcess(hosts.a.processOf(guest.id));
    hosts.a.supervisor.close();
  };
  await cutOff(hosts, guest, { when: isDecided, cut });
  await hosts.a.down();
  return guest;
}

/** What is left of a guest that another host has: it holds still, and can be looked at, forked and deleted. */
async function isAside(host: TestHost, { id }: Guest, state: string): Promise<void> {
  const names = () => host.supervisor.guests.list().map(({ name }) => name);
  await until(() => names().includes("web-declared-lost"), "its name");
  const look = () => {
    const { state, pausedFor } = host.supervisor.guests.get(id);
    return pausedFor === null ? state : "paused";
  };
  await until(() => look() === state, `it is ${look()}`);
  assertEquals((await moves(host)).map((it) => [it.state, it.guestName]), [["aside", "web"]]);
  const { client } = host.local;
  const params = { id };
  const again = state === "paused" ? "resumeGuest" : "startGuest";
  assertStringIncludes(await refused(() => client.call(again, { params })), "declared lost");
  const peer = host.supervisor.peers.list()[0].id;
  if (state === "paused") {
    assertStringIncludes(
      await refused(() => client.call("resetGuest", { params })),
      "declared lost",
    );
    const move = () => client.call("moveGuest", { params, body: { peer } });
    assertStringIncludes(await refused(move), "declared lost");
  }
  const [{ id: move }] = await moves(host);
  const body = { runs: "here", confirm: "web" } as const;
  const resolved = () => client.call("resolveMove", { params: { id: move }, body });
  assertStringIncludes(await refused(resolved), "it is known whose the guest is");
}

/** What a host answers to the other one's word about a move. */
async function answered(
  { supervisor }: TestHost,
  word: { move: string; owner: "sender" | "receiver"; isSaid: boolean },
): Promise<unknown> {
  const said = Promise.withResolvers<unknown>();
  const channel = { say: said.resolve, end: () => Promise.resolve() } as unknown as PeerChannel;
  const [{ id }] = supervisor.peers.list();
  // Why not is in the answer, too.
  await supervisor.moves.serve(channel, supervisor.peers.get(id), { op: "settle", ...word })
    .catch(() => {});
  return await said.promise;
}

Deno.test("the other host is gone for good: it runs here; when that is back, its copy is set aside", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  assertEquals((await moves(a)).map(({ id: _, ...it }) => it), [{
    ...{ guest: guest.id, guestName: "web", peer: hosts.peer, peerName: Deno.hostname() },
    ...{ direction: "leaving", state: "unknown" },
  }]);
  assertStringIncludes(await refused(() => a.start(guest.id)), "it was given to the host");
  assertStringIncludes(await refused(() => resolve(a, "here", "other")), 'is not called "other"');
  assertStringIncludes(await refused(() => a.start(guest.id)), "it was given to the host");
  await resolve(a, "here");
  assertEquals((await moves(a)).map((it) => it.state), ["said"]);
  // It is remembered, and the guest is like any other.
  await restart(a);
  assertEquals((await moves(a)).map((it) => it.state), ["said"]);
  await a.start(guest.id);

  await b.up();
  await isAside(b, guest, "paused");
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals(whereabouts(a, guest.id), RUNS);
  assertEquals((await a.get(guest.id)).name, "web");
  await restart(b);
  await isAside(b, guest, "paused");
  const params = { id: guest.id };
  await b.local.client.call("stopGuest", { params, body: { force: true } });
  await b.reaches(guest.id, "stopped");
  await isAside(b, guest, "stopped");
  const forked = await b.done(
    b.local.client.call("forkGuest", { params, body: { name: "kept", start: false } }),
  );
  assertEquals((await b.start(forked.made[0])).state, "running");
  await b.local.client.call("deleteGuest", { params });
  assertEquals(await moves(b), []);
  assertEquals(whereabouts(b, guest.id), NOWHERE);
});

Deno.test("the other host had not begun to run it: it lets go of what it has", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts, { runs: false });
  await resolve(a, "here");
  await a.start(guest.id);
  await b.up();
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals([whereabouts(a, guest.id), whereabouts(b, guest.id)], [RUNS, NOWHERE]);
  assertEquals(await moves(b), []);
});

Deno.test("it runs there: it is forgotten here, also before the other host is back", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  await resolve(a, "there");
  assertEquals(whereabouts(a, guest.id), NOWHERE);
  assertEquals((await moves(a)).map((it) => [it.state, it.guestName]), [["said", "web"]]);
  await restart(a);
  assertEquals(whereabouts(a, guest.id), NOWHERE);
  // Should it come back by another way, it may be started.
  assertEquals(a.supervisor.guests.ground.claims.keepsOff(guest.id), false);
  await b.up();
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals(whereabouts(b, guest.id), RUNS);
  assertEquals(await moves(b), []);
  await hosts.pair();
  const [{ id: peer }] = await b.local.client.call("listPeers", {});
  const body = { peer };
  await b.done(b.local.client.call("moveGuest", { params: { id: guest.id }, body }));
  await a.reaches(guest.id, "running");
});

Deno.test("what somebody has said is not said again: what the other host has is the last that there is", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  // It had come here once from another host, which may not have heard that.
  const database = openDatabase(a.path("data/denovisor.db"));
  const store = new MoveStore(database);
  database.prepare(
    "INSERT INTO arrivals VALUES ('earlier', ?, 'c', 'claimed', ?, 'web', NULL, NULL)",
  )
    .run(guest.id, Date.now());
  const [{ id }] = await moves(a);
  const said = (["there", "here"] as const).map((runs) =>
    a.supervisor.moves.resolve(id, { runs, confirm: "web" })
  );
  const both = await Promise.allSettled(said);
  assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected"]);
  assertEquals(store.arrival("earlier")?.wentTo, Deno.hostname());
  database.close();
  for (const runs of ["here", "there"] as const) {
    assertStringIncludes(await refused(() => resolve(a, runs)), "it is known whose the guest is");
  }
  await b.up();
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals(whereabouts(b, guest.id), RUNS);
});

Deno.test("a guest that just changes hands is nobody's to settle", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("slow-go");
  const told: string[] = [];
  b.supervisor.events.subscribe(({ name, data }) => {
    if (name === "moves") told.push(...data.map(({ state }) => state));
  });
  const sealed = Promise.withResolvers<void>();
  at(a, isDecided, sealed.resolve);
  const task = await hosts.move(guest.id);
  await sealed.promise;
  assertEquals(await moves(b), []);
  const database = openDatabase(b.path("data/denovisor.db"));
  const [{ move, state }] = new MoveStore(database).arrivals();
  database.close();
  assertEquals(state, "sealed");
  const said = b.supervisor.moves.resolve(move, { runs: "there", confirm: "web" });
  await assertRejects(() => said, Error, "it is just changing hands");
  assertEquals((await hosts.end(task)).state, "done");
  assertEquals([whereabouts(b, guest.id), told], [RUNS, []]);
});

Deno.test("a guest of which nothing is left is not said to be here", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  // As where the power fails before the last row is written.
  a.supervisor.guests.ground.leave(guest.id);
  assertStringIncludes(await refused(() => resolve(a, "here")), "nothing of the guest is left");
  await b.up();
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals(whereabouts(b, guest.id), RUNS);
});

Deno.test("the host that it comes from is gone: it runs here; when that is back, its copy is set aside", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await undecided(hosts);
  await until(() => b.supervisor.moves.list().length === 1, "the row");
  assertEquals((await moves(b)).map((it) => [it.direction, it.state]), [["coming", "unknown"]]);
  await resolve(b, "here");
  assertEquals((await b.reaches(guest.id, "running")).name, "web");
  assertEquals((await moves(b)).map((it) => it.state), ["said"]);
  await a.up();
  await isAside(a, guest, "failed");
  await until(() => b.supervisor.moves.list().length === 0, "the word");
  assertEquals(whereabouts(b, guest.id), RUNS);
  await restart(a);
  await isAside(a, guest, "failed");
  await a.local.client.call("deleteGuest", { params: { id: guest.id } });
  assertEquals(await moves(a), []);
});

Deno.test("it runs where it came from: nothing of it is kept here", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await undecided(hosts);
  await until(() => b.supervisor.moves.list().length === 1, "the row");
  await resolve(b, "there");
  assertEquals([b.names("data/guests"), b.names("run/guests")], [[], []]);
  assertEquals((await moves(b)).map((it) => it.state), ["said"]);
  await a.up();
  await until(() => b.supervisor.moves.list().length === 0, "the word");
  assertEquals(await moves(a), []);
  assertEquals((await a.start(guest.id)).state, "running");
});

Deno.test("a guest that is just dropped here is not said to be here", async () => {
  await using hosts = await TwoHosts.start();
  const { b } = hosts;
  await undecided(hosts);
  await until(() => b.supervisor.moves.list().length === 1, "the row");
  const [{ id: move }] = await moves(b);
  const { moves: there } = b.supervisor;
  const dropped = there.resolve(move, { runs: "there", confirm: "web" });
  const answer = answered(b, { move, owner: "receiver", isSaid: false });
  assertEquals(await answer, { ok: { state: "dropped" } });
  await dropped;
});

Deno.test("a guest that was declared lost is not given up while something is under way with it, nor when it went on", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  const [{ id: move }] = await moves(a);
  await a.down();
  await b.up();
  await b.reaches(guest.id, "running");
  const word = { move, owner: "sender", isSaid: true } as const;
  const told = async () => JSON.stringify(await answered(b, word));
  const end = Promise.withResolvers<void>();
  const { tasks } = b.supervisor;
  tasks.begin({ kind: "snapshot", guest, detail: "" }, () => end.promise);
  assertStringIncludes(await told(), "a snapshot is under way");
  end.resolve();
  await tasks.settled();
  assertEquals([whereabouts(b, guest.id), (await b.get(guest.id)).name], [RUNS, "web"]);

  await b.down();
  const database = openDatabase(b.path("data/denovisor.db"));
  new MoveStore(database).wentOn(guest.id, "c");
  new GuestStore(database).delete(guest.id);
  database.close();
  await b.up();
  assertStringIncludes(await told(), 'it has gone on to the host \\"c\\"');
});

Deno.test("a host that was given up can be forgotten, and is told when it is paired again", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts);
  const remove = () => a.local.client.call("deletePeer", { params: { id: hosts.peer } });
  assertStringIncludes(await refused(remove), "on its way");
  await resolve(a, "here");
  await remove();
  assertEquals((await moves(a)).map((it) => it.peerName), [null]);
  await b.up();
  assertEquals(whereabouts(a, guest.id), OFF);
  await hosts.pair();
  await isAside(b, guest, "paused");
  await until(() => a.supervisor.moves.list().length === 0, "the word");
});

Deno.test("a host is not waited for because of a guest that stayed, and hears that when it is paired again", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("slow-memory");
  const remove = () => a.local.client.call("deletePeer", { params: { id: hosts.peer } });
  const slow = await hosts.move(guest.id, { bytesPerSecond: 1000 });
  assertStringIncludes(await refused(remove), "on its way");
  a.supervisor.tasks.cancel(slow.id);
  await hosts.end(slow);
  await b.down();
  await a.down();
  const database = openDatabase(a.path("data/denovisor.db"));
  // As a move leaves it whose other host was gone before it heard that the guest stays.
  const store = new MoveStore(database);
  const move = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  store.begin({ move, guest: guest.id, name: guest.name, peer: hosts.peer });
  store.setDeparture(move, "kept");
  await a.up();
  const left = () => store.departures().map((it) => it.state).join();
  assertEquals([left(), await moves(a)], ["kept", []]);
  await remove();
  await b.up();
  await hosts.pair();
  await until(() => left() === "", "the word");
  database.close();
  assertEquals([whereabouts(a, guest.id), whereabouts(b, guest.id)], [RUNS, NOWHERE]);
});

Deno.test("both are told that the other is gone: the host that it came from keeps it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await givenAway(hosts, { runs: false });
  await resolve(a, "here");
  await a.down();
  await b.up();
  await resolve(b, "here");
  await b.reaches(guest.id, "running");
  await a.up();
  await isAside(b, guest, "paused");
  await until(() => a.supervisor.moves.list().length === 0, "the word");
  assertEquals((await a.start(guest.id)).state, "running");
});

Deno.test("what somebody said is done, also where the supervisor went before it was", async () => {
  await using hosts = await TwoHosts.start();
  const { b } = hosts;
  const guest = await undecided(hosts);
  await until(() => b.supervisor.moves.list().length === 1, "the row");
  await b.down();
  const database = openDatabase(b.path("data/denovisor.db"));
  const store = new MoveStore(database);
  store.sayArrival(store.arrivals()[0].move);
  database.close();
  await b.up();
  await until(() => whereabouts(b, guest.id).state === "running", "it is taken over");
  assertEquals((await moves(b)).map((it) => it.state), ["said"]);
});
