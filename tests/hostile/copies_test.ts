/**
 * A guest that counts is forked, saved while it runs, and sent, one after another: each that goes on has
 * counted on, whatever was done with it before.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { fork, goOn } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { counts, figures, save, saved, until } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { send } from "./migrating_guest.ts";
import { WaitingGuest } from "./waiting_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MiB = 2 ** 20;
const FILLED = { bytes: 8 * MiB, with: 0x1357_9BDF };
const MIGRATED = 5;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

/** Fills memory and counts until a byte is typed; with where it counts. */
function fillsAndCounts(): { program: GuestProgram; counter: number } {
  const program = new GuestProgram();
  const filled = program.allocate(FILLED.bytes);
  program.fill(filled, FILLED.bytes, FILLED.with);
  program.case("it runs", () => {
    program.read(filled, 4);
    program.expect("what was filled", FILLED.with);
  });
  return { program, counter: counts(program, () => 0) };
}

/** A guest that counts, and what it is. */
async function boot(program: GuestProgram) {
  const guest = await WaitingGuest.start();
  const config = {
    ...{ name: "counter", kernel: guest.folder.file("kernel", program.toKernel()), cmdline: "" },
    ...{ memoryMiB: 128, cpus: 1, disks: [], nets: [] },
  };
  assertEquals((await ask(guest.socket, { op: "run", config })).error, undefined);
  assertEquals(await guest.words(1), [FILLED.with]);
  return { guest, config };
}

/** It comes to its end, and has counted the same in memory and in a register; how far. */
async function ends(guest: WaitingGuest): Promise<number> {
  await guest.type(1);
  const [count, difference] = await guest.words(2);
  assertEquals(difference, 0);
  assertEquals((await guest.ended()).code, 0);
  return count;
}

/** Sends a guest, which ends where it was. */
async function sendTo(there: WaitingGuest, guest: WaitingGuest): Promise<void> {
  const socket = `${there.folder.path}/migrate`;
  const runs = ask(there.socket, { op: "run", receive: socket });
  while ((await there.status()).receiving?.phase !== "listening");
  const said = await send(guest.socket, { socket, allowedPauseMs: 100 });
  assertEquals([said.at(-1).isHeard, said.at(-1).stoodStill], [true, undefined]);
  assertEquals((await guest.ended()).code, MIGRATED);
  assertEquals((await runs).ok, true);
}

test("a guest is forked, saved, forked again, and who goes on from it is sent and forked", async () => {
  const { program, counter } = fillsAndCounts();
  const { guest, config } = await boot(program);
  await using parent = guest;
  const path = (n: number) => `${parent.folder.path}/${n}`;
  {
    using forked = await fork(parent.socket);
    assertEquals(forked.copiedBytes, 0);
  }
  // Its RAM is a private copy from here on.
  await save(parent.socket, { directory: path(0), track: true, allowedPauseMs: 100 });
  assertEquals(figures.stoodStill, undefined);
  assert(figures.bytes > FILLED.bytes, JSON.stringify(figures));
  const onTop = { base: path(0), track: true, allowedPauseMs: 100 };
  await save(parent.socket, { directory: path(1), ...onTop });
  assert(figures.bytes > 0 && figures.bytes < MiB, JSON.stringify(figures));
  const least = saved(path(1), counter);
  assert(least >= saved(path(0), counter));
  using again = await fork(parent.socket);
  assert(again.copiedBytes >= FILLED.bytes, `${again.copiedBytes}`);
  // Its memory is another mapping then, of which nothing was tracked.
  const late = { op: "save", directory: path(2), base: path(1) };
  assertMatch((await ask(parent.socket, late)).error, /changes are not tracked/);
  assert(await ends(parent) >= least);

  await using child = await WaitingGuest.start();
  assertEquals((await goOn(child.socket, again, { ...config, name: "child" })).error, undefined);
  await using there = await WaitingGuest.start();
  await sendTo(there, child);
  // What was received is a file of its own again, of which nothing is copied.
  using last = await fork(there.socket);
  assertEquals(last.copiedBytes, 0);
  assert(await ends(there) >= least);
  await using grandchild = await WaitingGuest.start();
  assertEquals((await goOn(grandchild.socket, last, config)).error, undefined);
  assert(await ends(grandchild) >= least);

  await using restored = await WaitingGuest.start();
  const order = { op: "run", restore: path(1), config };
  assertEquals((await ask(restored.socket, order)).error, undefined);
  assert(await ends(restored) >= least);
});

/** Has something done for which the guest is held; it is given up with the connection. */
async function held(socket: string, request: Record<string, unknown>): Promise<ControlConnection> {
  for (;;) {
    const connection = await ControlConnection.open(socket, { ...request, hold: true });
    let line = await connection.line();
    while (line.error === undefined && !line.held) line = await connection.line();
    if (line.held) return connection;
    connection[Symbol.dispose]();
    // What was given up before may not be over yet.
    assertMatch(line.error, / already$/);
  }
}

testEach("a guest is saved, sent or forked, and nothing else meanwhile", async () => {
  const { program } = fillsAndCounts();
  const { guest } = await boot(program);
  await using _ = guest;
  await using there = await WaitingGuest.start();
  const socket = `${there.folder.path}/migrate`;
  ask(there.socket, { op: "run", receive: socket }).catch(() => {});
  while ((await there.status()).receiving?.phase !== "listening");
  const requests = [
    [{ op: "save", directory: `${guest.folder.path}/snapshot` }, "is being saved"],
    [{ op: "send", socket }, "is being sent"],
    [{ op: "fork" }, "is being forked"],
  ] as const;
  for (const [request, what] of requests) {
    {
      using _ = await held(guest.socket, request);
      await until(guest.socket, (pausedFor) => pausedFor === `It ${what}`);
      for (const [other] of requests) {
        const { error } = await ask(guest.socket, other);
        assertEquals(error, `Cannot ${other.op} the guest: it ${what} already`);
      }
      const { error } = await ask(guest.socket, { op: "resume" });
      assertEquals(error, `Cannot resume the guest: it ${what}`);
    }
    await until(guest.socket, (pausedFor) => pausedFor === undefined);
  }
  await ends(guest);
});

testEach("whoever forks a guest that is ended meanwhile is told, and it ends", async () => {
  const { guest } = await boot(fillsAndCounts().program);
  await using _ = guest;
  using connection = await held(guest.socket, { op: "fork" });
  await ask(guest.socket, { op: "kill" });
  assertEquals(await connection.line(), { error: "Cannot fork: the guest has ended" });
  const { code, errors } = await guest.ended();
  assertEquals(code, 0, errors);
});
