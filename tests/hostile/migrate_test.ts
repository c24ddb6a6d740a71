/**
 * A guest that counts goes from one VMM to another, and whatever is cut off or killed at whichever step,
 * never more than one of them runs it.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { close, O_RDWR, open } from "../../hypervisor/sys/files.ts";
import { tryLock } from "../../hypervisor/sys/flock.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { counts, right } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { Between, send, Waiting } from "./migrating_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MIGRATED = 5;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

/** A sender: a guest with a disk that counts, and its control socket. */
class Sender implements Disposable {
  readonly folder = new Folder();
  readonly control = `${this.folder.path}/control`;
  readonly record = `${this.folder.path}/handed_over.json`;
  readonly program = new GuestProgram();
  readonly guest: HostileGuest;

  constructor() {
    const disk = new BlockDriver(this.program, { nth: 0 });
    disk.virtio.start();
    this.program.case("its disk works", () => disk.readsSector(3));
    counts(this.program, () => 1);
    this.program.case("its disk goes on", () => {
      for (let sector = 0; sector < 20; sector++) disk.readsSector(sector);
    });
    const image = this.folder.file("disk", diskImage());
    const args = ["--memory", "128M", "--disk", image, "--control", this.control];
    this.guest = new HostileGuest(this.program, { vmm: VMM, folder: this.folder.path, args });
  }

  static async running(): Promise<Sender> {
    const sender = new Sender();
    await sender.guest.isThrough("its disk works");
    return sender;
  }

  get isGiven(): boolean {
    return this.folder.names().includes("handed_over.json");
  }

  /** It runs here, to its end, and all that it sees is right. */
  async runsHere(): Promise<void> {
    assertEquals((await ask(this.control, { op: "status" })).status.pausedFor, undefined);
    await this.guest.type();
    right(await this.guest.ended());
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

test("a guest goes from one VMM to another, with its disk", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const said = await send(sender.control, { socket: vmm.socket, allowedPauseMs: 100 });
  const { sent, isHeard, pauseMs, rounds, bytes, stoodStill } = said.at(-1);
  assertEquals([said.length, isHeard, stoodStill], [2, true, undefined], JSON.stringify(said));
  assert(rounds >= 2 && bytes > 4096 && pauseMs > 0, JSON.stringify(said));
  const { code, errors } = await sender.guest.ended();
  assertEquals(code, MIGRATED, errors);
  assertEquals(JSON.parse(Deno.readTextFileSync(sender.record)).handOver, sent);
  assertEquals(JSON.parse(Deno.readTextFileSync(`${sender.folder.path}/exit.json`)), {
    reason: "migrated",
    message: "The guest goes on in another VMM",
  });
  await vmm.runs();
});

/** What was about to be said when the connection is cut. */
const BEFORE = ["hello", "welcome", "ram", "more ram", "state", "ready"] as const;

for (const what of BEFORE) {
  testEach(`cut off before "${what}", a guest goes on where it was`, async () => {
    using sender = await Sender.running();
    await using vmm = await Waiting.started();
    const { folder } = sender;
    using between = new Between({
      ...{ folder: folder.path, to: vmm.socket },
      pass: (it) => it !== what,
    });
    const said = await send(sender.control, { socket: between.socket });
    await between.done;
    assertMatch(said.at(-1).error, /^Cannot send the guest: /);
    assertEquals(sender.isGiven, false);
    if (what === "ready") {
      // The receiver does not know that it was not heard.
      await vmm.until("undecided");
      const wrong = { op: "take_over", handOver: "0".repeat(32) };
      assertMatch((await ask(vmm.control, wrong)).error, /this is hand-over/);
      await ask(vmm.control, { op: "kill" });
    }
    const { ok, error } = await vmm.answer;
    assertEquals(ok, false);
    assertMatch(error, /^Cannot receive/);
    assertEquals((await vmm.ended()).code, 1);
    await sender.runsHere();
  });
}

test('cut off before "go", a guest runs nowhere until its receiver is told, and never here', async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const { folder } = sender;
  let wasGiven = false;
  using between = new Between({
    ...{ folder: folder.path, to: vmm.socket },
    pass(what) {
      if (what === "go") wasGiven = sender.isGiven;
      return what !== "go";
    },
  });
  const { sent, isHeard } = (await send(sender.control, { socket: between.socket })).at(-1);
  // It was on the disk before it was said.
  assert(wasGiven);
  assertEquals(isHeard, false);
  assertEquals((await sender.guest.ended()).code, MIGRATED);
  await vmm.until("undecided");
  const { handOver } = JSON.parse(Deno.readTextFileSync(sender.record));
  assertEquals(handOver, sent);
  assertEquals((await ask(vmm.control, { op: "status" })).status.receiving.handOver, sent);
  assertEquals((await ask(vmm.control, { op: "take_over", handOver })).ok, true);
  await vmm.runs();
});

test("a guest that was given away, and whose disk somebody has, runs nowhere, and is not lost", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const disk = open(`${sender.folder.path}/disk`, O_RDWR);
  let wasFree = false;
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass(what) {
      // The sender has let go of it, and the receiver has not got the word.
      if (what === "go") wasFree = tryLock(disk);
      return true;
    },
  });
  const { isHeard } = (await send(sender.control, { socket: between.socket })).at(-1);
  assertEquals([wasFree, isHeard], [true, false]);
  assertEquals((await sender.guest.ended()).code, MIGRATED);
  await vmm.until("undecided");
  const { handOver } = JSON.parse(Deno.readTextFileSync(sender.record));
  const takeOver = () => ask(vmm.control, { op: "take_over", handOver });
  assertMatch((await takeOver()).error, /another guest uses it/);
  assertEquals(await vmm.phase(), "undecided");
  close(disk);
  assertEquals((await takeOver()).ok, true);
  await vmm.runs();
});

test('cut off before "runs", the receiver runs it and the sender does not', async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const { folder } = sender;
  using between = new Between({
    ...{ folder: folder.path, to: vmm.socket },
    pass: (what) => what !== "runs",
  });
  const { isHeard } = (await send(sender.control, { socket: between.socket })).at(-1);
  assertEquals(isHeard, false);
  assertEquals((await sender.guest.ended()).code, MIGRATED);
  await vmm.runs();
});

for (const what of ["welcome", "ram", "state", "ready", "go"] as const) {
  testEach(
    `the receiver is killed before "${what}": the guest goes on here, unless it was given away`,
    async () => {
      using sender = await Sender.running();
      await using vmm = await Waiting.started();
      using between = new Between({
        ...{ folder: sender.folder.path, to: vmm.socket },
        async pass(it) {
          if (it !== what) return true;
          vmm.kill();
          await vmm.ended();
          // Had it been heard that it was ready, the guest would be given away: nobody could know better.
          return what !== "ready";
        },
      });
      const last = (await send(sender.control, { socket: between.socket })).at(-1);
      if (what === "go") {
        assertEquals(last.isHeard, false);
        assertEquals((await sender.guest.ended()).code, MIGRATED);
        return;
      }
      assertMatch(last.error ?? "", /^Cannot send the guest: /);
      assertEquals(sender.isGiven, false);
      await sender.runsHere();
    },
  );

  testEach(
    `the sender is killed before "${what}": the receiver runs it only if it was given away`,
    async () => {
      using sender = await Sender.running();
      await using vmm = await Waiting.started();
      let isKilled = false;
      using between = new Between({
        ...{ folder: sender.folder.path, to: vmm.socket },
        async pass(it) {
          if (it !== what) return true;
          await sender.guest.kill();
          isKilled = true;
          // What it had said is on its way.
          return what !== "go";
        },
      });
      await send(sender.control, { socket: between.socket }).catch(() => {});
      while (!isKilled) await new Promise((resolve) => setTimeout(resolve, 10));
      assertEquals(sender.isGiven, what === "go");
      if (what === "go") {
        await vmm.until("undecided");
        const { handOver } = JSON.parse(Deno.readTextFileSync(sender.record));
        assertEquals((await ask(vmm.control, { op: "take_over", handOver })).ok, true);
        return await vmm.runs();
      }
      if (what === "ready") await vmm.until("undecided");
      // Once it has the state, it may be ready before it notices.
      if (what === "state") {
        await Promise.race([vmm.answer, vmm.until("undecided").catch(() => {})]);
      }
      if (what === "ready" || what === "state") {
        await ask(vmm.control, { op: "kill" }).catch(() => {});
      }
      const { code, errors } = await vmm.ended();
      assertEquals((await vmm.answer)?.ok, false, `${code}: ${errors}`);
      assertEquals(code, 1);
    },
  );
}

testEach(
  "who cannot take a guest says so before the first page; who gives it up, keeps it",
  async () => {
    using sender = await Sender.running();
    const { control } = sender;
    const refusals: [change: Record<string, unknown>, why: RegExp][] = [
      [{ cpus: 2 }, /cpus is another than it was/],
      [{ disks: [{ path: "/none" }] }, /there is no such file/],
    ];
    const config = {
      ...{ name: "guest", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1, nets: [] },
      ...{ hotplugPorts: 0, disks: [{ path: `${sender.folder.path}/disk` }] },
    };
    for (const [change, why] of refusals) {
      await using vmm = await Waiting.started({ ...config, ...change });
      const { folder } = sender;
      using between = new Between({ folder: folder.path, to: vmm.socket, pass: () => true });
      assertMatch((await send(control, { socket: between.socket })).at(-1).error, why);
      assertMatch((await vmm.answer).error, why);
      assertEquals((await vmm.ended()).code, 2);
      await between.done;
      assertEquals(between.seen, ["hello", "failed"]);
    }
    // Nobody there, too late, and a caller who goes away.
    assertMatch(
      (await ask(control, { op: "send", socket: "/none" })).error,
      /connect to the socket/,
    );
    for (
      const bad of [{}, { socket: "relative" }, { socket: "/x", bytesPerSecond: 0 }, {
        socket: "/x",
        postCopy: 1,
      }, { socket: "/x", compress: "lz4" }]
    ) {
      assertMatch((await ask(control, { op: "send", ...bad })).error, /^Cannot understand/);
    }
    {
      await using vmm = await Waiting.started();
      const request = { socket: vmm.socket, timeoutMs: 300, bytesPerSecond: 1 };
      assertMatch((await send(control, request)).at(-1).error, /it has taken 300 ms/);
      assertEquals((await vmm.answer).ok, false);
    }
    {
      await using vmm = await Waiting.started();
      const hold = { op: "send", socket: vmm.socket, hold: true };
      const connection = await ControlConnection.open(control, hold);
      for (let line = await connection.line(); !line.held; line = await connection.line());
      for (const op of ["resume", "send", "save"]) {
        const request = { op, socket: "/x", directory: "/x" };
        assertMatch((await ask(control, request)).error, /is being/);
      }
      await vmm.until("ready");
      connection[Symbol.dispose]();
      assertMatch((await vmm.answer).error, /the sender keeps the guest/);
    }
    {
      // It may be held, and then go.
      await using vmm = await Waiting.started();
      const hold = { op: "send", socket: vmm.socket, hold: true };
      using connection = await ControlConnection.open(control, hold);
      for (let line = await connection.line(); !line.sent; line = await connection.line()) {
        assertEquals(line.error, undefined);
        if (line.held) await connection.send('{"op":"go"}\n');
      }
      assertEquals((await sender.guest.ended()).code, MIGRATED);
      await vmm.runs();
    }
  },
);

testEach("who greets twice is refused", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: () => true,
    repeats: "hello",
  });
  const said = await send(sender.control, { socket: between.socket });
  assertMatch(said.at(-1).error, /it greets twice|the other VMM is gone/i);
  assertMatch((await vmm.answer).error, /it greets twice/);
  assertEquals((await vmm.ended()).code, 1);
  await sender.runsHere();
});
