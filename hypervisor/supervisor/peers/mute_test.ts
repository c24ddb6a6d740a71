/** A VMM has a guest that is coming, and answers nobody: whether it runs it, the guest's disks tell. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { isLocked } from "../../sys/flock.ts";
import { isAlive, killProcess } from "../../sys/processes.ts";
import { ApiError } from "../api/client.ts";
import type { Guest } from "../api/schemas.ts";
import { askVmm } from "../lives/control_client.ts";
import { cutOff, isDecided, NOWHERE, until } from "../testing/move_cuts.ts";
import { TwoHosts, whereabouts } from "../testing/two_hosts.ts";

/** Moves the guest to a VMM that says no more once it runs it; then the host that it comes from goes. */
async function runsMute(hosts: TwoHosts, { id }: Guest): Promise<void> {
  const { a, b } = hosts;
  await hosts.move(id);
  const socket = b.path("run/guests", id, "control.sock");
  let isMute = false;
  await until(() => {
    askVmm(socket, { op: "status" }).catch((error) => isMute ||= isReset(error));
    return isMute;
  }, "silence");
  a.supervisor.close();
  await a.down();
}

/** Hung up on, as opposed to what is not there yet. */
const isReset = (error: Error) => !(error instanceof Deno.errors.NotFound);

/** Somebody says that the guest is where it came from. */
async function isSaidToBeThere({ b }: TwoHosts): Promise<void> {
  const list = () => b.supervisor.moves.list();
  await until(() => list().length === 1, "the row");
  const params = { id: list()[0].id };
  const body = { runs: "there", confirm: "web" } as const;
  await b.local.client.call("resolveMove", { params, body });
}

Deno.test("one that has locked the guest's disks runs it, and keeps it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("mute-there");
  assertEquals((await hosts.end(await hosts.move(guest.id))).state, "done");
  // It is this host's, though it never said so.
  const { state, hasDisks } = whereabouts(b, guest.id);
  assert(state !== "none" && hasDisks, state);
  assert(isAlive(b.processOf(guest.id)));
  assert(isLocked(b.diskFile(guest)));
  assertEquals([whereabouts(a, guest.id), b.supervisor.moves.list()], [NOWHERE, []]);
});

Deno.test("one that has not locked them does not run it, and nothing is kept of it", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await hosts.guest("mute-undecided");
  const cut = () => {
    killProcess(a.processOf(guest.id));
    a.supervisor.close();
  };
  await cutOff(hosts, guest, { when: isDecided, cut });
  await a.down();
  await isSaidToBeThere(hosts);
  assertEquals([b.names("data/guests"), b.names("run/guests")], [[], []]);
});

Deno.test("one whose guest has no disks may run it: nothing becomes of that before it has ended", async () => {
  await using hosts = await TwoHosts.start();
  const { a, b } = hosts;
  const guest = await a.guest({ cmdline: "mute-there", disks: [] });
  await runsMute(hosts, await a.start(guest.id));
  const refused = async () => (await assertRejects(() => isSaidToBeThere(hosts), ApiError)).problem;
  const { code, message } = await refused();
  assertEquals(code, "busy");
  assertStringIncludes(message, 'Cannot say whether "web" runs: its VMM, process ');
  const process = b.processOf(guest.id);
  assert(isAlive(process));
  killProcess(process);
  await until(() => !isAlive(process), "its end");
  await isSaidToBeThere(hosts);
  assertEquals([b.names("data/guests"), b.names("run/guests")], [[], []]);
});
