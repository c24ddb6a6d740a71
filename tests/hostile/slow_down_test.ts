/**
 * A guest that changes its memory faster than it can be sent.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SendRequest } from "../../hypervisor/vmm/control.ts";
import { ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { changesMemory } from "./changing_guest.ts";
import { right } from "./counting_guest.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { Waiting } from "./migrating_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MIGRATED = 5;
const MiB = 2 ** 20;
/** Of its memory, again and again: a power of two. */
const WRITTEN_BYTES = 4 * MiB;
/**
 * A tenth of what it changes: too little also where others keep the processors busy, and enough for a guest that runs
 * for a twentieth of the time, which changes nothing while it rests.
 */
const BYTES_PER_SECOND = 10 * MiB;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

/** Sends it with little bandwidth, once there is nothing left to send; all that was said. */
async function sendSlowly(control: string, request: Omit<SendRequest, "op">) {
  const order = { op: "send", bytesPerSecond: BYTES_PER_SECOND, allowedPauseMs: 0, ...request };
  using connection = await ControlConnection.open(control, order);
  const said = [];
  for (let line = await connection.line(); line; line = await connection.line()) said.push(line);
  return said;
}

test("a guest that changes memory faster than it is sent moves if it may be slowed down", async () => {
  using folder = new Folder();
  const control = `${folder.path}/control`;
  const guest = new HostileGuest(changesMemory(WRITTEN_BYTES), {
    ...{ vmm: VMM, folder: folder.path },
    args: ["--memory", "128M", "--control", control],
  });
  await guest.isThrough("it runs");
  {
    await using vmm = await Waiting.started();
    const said = await sendSlowly(control, { socket: vmm.socket, timeoutMs: 6000 });
    assertMatch(said.at(-1).error, /it has taken 6000 ms/);
    const progress = said.flatMap(({ sending }) => sending ?? []);
    const { rounds, changedBytesPerSecond, slowedPercent } = progress.at(-1);
    assert(rounds > 3 && changedBytesPerSecond > 0, JSON.stringify(said));
    assertEquals(slowedPercent, 0);
    // What was measured is about what was allowed.
    const rates = progress.map((it) => it.bytesPerSecond).sort((a, b) => a - b);
    const median = rates[rates.length >> 1];
    assert(median > 0 && median < 2 * BYTES_PER_SECOND, `${rates}`);
  }
  await using vmm = await Waiting.started();
  const said = await sendSlowly(control, { socket: vmm.socket, slowDown: true, timeoutMs: 40_000 });
  const { error, sent } = said.at(-1);
  assertEquals([error, typeof sent], [undefined, "string"], JSON.stringify(said));
  const percents = said.flatMap(({ sending }) => sending?.slowedPercent ?? []);
  assert(Math.max(...percents) >= 20, `${percents}`);
  assertEquals((await guest.ended()).code, MIGRATED);
  await vmm.runs();
});

/** How much of the time a guest's vCPU ran, over a second. */
async function vcpuShare(pid: number): Promise<number> {
  const ticks = () => {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
      const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/stat`);
      // utime and stime, behind the name.
      const [, comm, rest] = /\((.*)\) (.*)/.exec(stat)!;
      const fields = rest.split(" ");
      if (comm === "vcpu0") return Number(fields[11]) + Number(fields[12]);
    }
    throw new Error("Cannot find the vCPU's thread");
  };
  const [before, began] = [ticks(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, 1000));
  // A tick is 10 ms.
  return (ticks() - before) * 10 / (performance.now() - began);
}

testEach("a guest that was slowed down for nothing runs at full speed again", async () => {
  using folder = new Folder();
  const control = `${folder.path}/control`;
  // So little that a round is short, and sent so slowly that no slowing down is enough.
  const bytes = 256 * 1024;
  const guest = new HostileGuest(changesMemory(bytes), {
    ...{ vmm: VMM, folder: folder.path },
    args: ["--memory", "128M", "--control", control],
  });
  await guest.isThrough("it runs");
  await using vmm = await Waiting.started();
  const order = {
    ...{ op: "send", socket: vmm.socket, slowDown: true, allowedPauseMs: 0 },
    bytesPerSecond: 3 * bytes,
  };
  const connection = await ControlConnection.open(control, order);
  const percents = new Set<number>();
  while (!percents.has(95)) {
    const line = await connection.line();
    assertEquals([line.error, line.sent], [undefined, undefined]);
    if (line.sending) percents.add(line.sending.slowedPercent);
  }
  assertEquals([...percents], [0, 20, 40, 60, 80, 95]);
  const slowed = await vcpuShare(guest.pid);
  // Whoever wanted it goes away.
  connection[Symbol.dispose]();
  await vmm.answer;
  const free = await vcpuShare(guest.pid);
  assert(slowed < 0.2 && free > 2 * slowed, `${slowed} ${free}`);
  await guest.type();
  right(await guest.ended());
});
