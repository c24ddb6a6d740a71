/**
 * A guest that counts is saved while it runs.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { fork } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { Folder, HAS_KVM, runVmm, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { counts, figures, right, save, saved, swept, until } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });

const MiB = 2 ** 20;
const FILLED_BYTES = 8 * MiB;

/** Makes the VMM's first guest, which counts, and writes much else while it does. */
function busyCounter(program: GuestProgram, least: () => number): number {
  const filled = program.allocate(FILLED_BYTES);
  program.fill(filled, FILLED_BYTES, 0x1357_9BDF);
  program.case("it runs", () => {
    program.read(filled, 4);
    program.expect("what was filled", 0x1357_9BDF);
  });
  return counts(program, least);
}

test("a guest is saved while it runs, and then what has changed, each complete by itself", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  let least = 0;
  const counter = busyCounter(program, () => least);
  const socket = `${folder.path}/control`;
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  const path = (n: number) => `${folder.path}/${n}`;
  await save(socket, { directory: path(0), track: true, allowedPauseMs: 100 });
  assertEquals(figures.stoodStill, undefined);
  assert(figures.rounds >= 2 && figures.bytes > FILLED_BYTES, JSON.stringify(figures));
  // One that is given up in the middle leaves the base what it was.
  {
    const request = { op: "save", directory: path(9), base: path(0), hold: true };
    using control = await ControlConnection.open(socket, request);
    for (let line = await control.line(); !line.held; line = await control.line());
  }
  await until(socket, (pausedFor) => pausedFor === undefined);
  await swept(folder, "9");
  // So does a fork.
  {
    using control = await ControlConnection.open(socket, { op: "fork", hold: true });
    for (let line = await control.line(); !line.held; line = await control.line());
  }
  await until(socket, (pausedFor) => pausedFor === undefined);
  const refused = async (base: string) =>
    (await ask(socket, { op: "save", directory: path(9), base })).error;
  for (const n of [1, 2]) {
    await save(socket, { directory: path(n), base: path(n - 1), track: n === 1 });
    assert(figures.bytes > 0 && figures.bytes < MiB, JSON.stringify(figures));
    assertMatch(await refused(path(n - 1)), n === 1 ? /since save \d of this run/ : /not tracked/);
    assert(saved(path(n), counter) >= saved(path(n - 1), counter));
  }
  least = saved(path(2), counter);
  await guest.kill();
  // Whatever was before is not needed.
  for (const n of [0, 1]) Deno.removeSync(path(n), { recursive: true });
  assertEquals((await runVmm(["--verify", path(2)])).code, 0);
  const restore = { directory: path(2), cases: 1 };
  const again = new HostileGuest(program, { vmm: VMM, folder: folder.path, args: [], restore });
  await again.type();
  right(await again.ended());
});

test("a guest that is asked for is stopped when its caller is ready, and what is tracked can be forked", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  let least = 0;
  const counter = busyCounter(program, () => least);
  const socket = `${folder.path}/control`;
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  const [one, two, three] = ["one", "two", "three"].map((name) => `${folder.path}/${name}`);
  const wish = { ask: true, hold: true, track: true };
  const said = await save(socket, { directory: one, ...wish });
  assertEquals(said, ["accepted", { ready: true }, { held: true }, { saved: one }]);
  await save(socket, { directory: two, base: one, ...wish });
  assert(figures.bytes < MiB, JSON.stringify(figures));
  const before = saved(two, counter);
  assert(before >= saved(one, counter));
  // Its RAM is another mapping then: what it changed until now is not known any more.
  using _ = await fork(socket);
  const { error } = await ask(socket, { op: "save", directory: three, base: two });
  assertMatch(error as string, /changes are not tracked/);
  await save(socket, { directory: three, track: true });
  least = saved(three, counter);
  assert(least >= before);
  await guest.type();
  right(await guest.ended());
});
