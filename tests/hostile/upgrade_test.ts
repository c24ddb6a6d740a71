/**
 * A guest that counts goes on in another VMM of the same host, and whichever of the two is killed at
 * whichever step, never both run it, and nobody has lost it who was not killed.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { EXIT_CODES } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { fork, goOn } from "../../hypervisor/vmm/testing/passing_connection.ts";
import { diskImage } from "./block_driver.ts";
import { counts } from "./counting_guest.ts";
import { PassingBetween } from "./passing_between.ts";
import { Giver, TakingVmm, upgrade } from "./upgrading_guest.ts";
import { WaitingGuest } from "./waiting_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MiB = 2 ** 20;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

test("a guest goes on in another VMM, in the place of the one before", async () => {
  using sockets = new Folder();
  const [port, vsock] = ["port", "vsock"].map((name) => `${sockets.path}/${name}`);
  using giver = await Giver.running({ more: ["--port", port, "--vsock", vsock] });
  await using vmm = await TakingVmm.started(giver.folder.path);
  const { status } = await ask(giver.control, { op: "status" });
  const said = await giver.upgrade(vmm.socket);
  const { upgraded, pauseMs, bytes } = said.at(-1);
  assertEquals([said.length, bytes], [2, 0], JSON.stringify(said));
  assertMatch(upgraded, /^[0-9a-f]{32}$/);
  assert(pauseMs > 0, JSON.stringify(said));
  const { code, errors } = await giver.guest.ended();
  assertEquals(code, EXIT_CODES.upgraded, errors);
  await vmm.answer;
  const now = (await ask(giver.control, { op: "status" })).status;
  assert(now.pid !== status.pid);
  assertEquals([now.name, now.startedAt], [status.name, status.startedAt]);
  // Where programs of the host meet those of the guest, somebody listens.
  for (const path of [port, vsock]) (await Deno.connect({ transport: "unix", path })).close();
  // The folder is the new one's: nothing is said there of an end.
  assertEquals(giver.folder.names().includes("exit.json"), false);
  await vmm.runs(giver);
  assertEquals(giver.folder.names().includes("exit.json"), true);
});

const KINDS: [name: string, memory: string][] = [
  ["that can be added to", "128M,hotplug=256M"],
  ["that is merged, behind which no file is", "128M,mergeable"],
];

for (const [name, memory] of KINDS) {
  test(`a guest with memory ${name} goes on in another VMM`, async () => {
    using giver = await Giver.running({ memory });
    await using vmm = await TakingVmm.started();
    const last = (await giver.upgrade(vmm.socket)).at(-1);
    assertEquals(last.error, undefined);
    assertEquals(last.bytes > 0, memory.endsWith("mergeable"), JSON.stringify(last));
    assertEquals((await giver.guest.ended()).code, EXIT_CODES.upgraded);
    await vmm.runs(giver);
  });
}

test("one that was forked goes on in another VMM, and shares what it has not written to", async () => {
  const [at, bytes] = [64 * MiB, 8 * MiB];
  using giver = await Giver.running({
    works(program, disk) {
      program.fill(at, bytes, 0x5EED_5EED);
      program.case("its memory is full", () => disk.readsSector(4));
      counts(program, () => 1);
      program.case("its memory is as it was", () => {
        for (const address of [at, at + bytes - 4]) {
          program.read(address, 4);
          program.expect(`the word at ${address}`, 0x5EED_5EED);
        }
        disk.readsSector(5);
      });
    },
  });
  await giver.guest.isThrough("its memory is full");
  using forked = await fork(giver.control);
  await using child = await WaitingGuest.start();
  const config = {
    ...{ name: "child", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1, nets: [] },
    disks: [{ path: child.folder.file("disk", diskImage()) }],
    hotplugPorts: 0,
  };
  assertEquals((await goOn(child.socket, forked, config)).error, undefined);
  // One at a time, for they leave no processor to anybody.
  await ask(giver.control, { op: "pause" });
  for (const socket of [child.socket, giver.control]) {
    if (socket === giver.control) await ask(socket, { op: "resume" });
    await using vmm = await TakingVmm.started();
    const last = (await upgrade(socket, vmm.socket)).at(-1);
    assertEquals(last.error, undefined);
    assert(last.bytes < MiB, JSON.stringify(last));
    await vmm.runs(giver, { cases: socket === child.socket ? 2 : 0 });
  }
});

testEach("a guest that is paused stays so, and goes on when it is told to", async () => {
  using giver = await Giver.running();
  await using vmm = await TakingVmm.started();
  await ask(giver.control, { op: "pause" });
  assertEquals((await giver.upgrade(vmm.socket)).at(-1).error, undefined);
  await vmm.answer;
  const { pausedFor } = (await ask(vmm.control, { op: "status" })).status;
  assertEquals(pausedFor, "It was told to pause");
  assertEquals((await ask(vmm.control, { op: "resume" })).ok, true);
  await vmm.runs(giver);
});

test("what was plugged in goes along, and comes out there", async () => {
  using giver = await Giver.running({ more: ["--hotplug-ports", "2"] });
  const path = giver.folder.file("second", diskImage());
  const plugged = await ask(giver.control, { op: "plug", device: { disk: { path } } });
  assertEquals(plugged.plugged, "block1");
  // Whatever its name is by now.
  Deno.renameSync(path, `${path}-moved`);
  await using vmm = await TakingVmm.started();
  assertEquals((await giver.upgrade(vmm.socket)).at(-1).error, undefined);
  await vmm.answer;
  const { devices } = await ask(vmm.control, { op: "devices" });
  assertEquals([devices.block0.path, devices.block1.path], [`${giver.folder.path}/disk`, path]);
  const request = { op: "unplug", device: "block1", force: true };
  assertEquals((await ask(vmm.control, request)).ok, true);
  assertEquals((await ask(vmm.control, { op: "devices" })).devices.block1, undefined);
  await vmm.runs(giver);
});

testEach("a guest goes on from VMM to VMM", async () => {
  using giver = await Giver.running();
  await using first = await TakingVmm.started(giver.folder.path);
  await giver.upgrade(first.socket);
  await first.answer;
  await using second = await TakingVmm.started(giver.folder.path);
  assertEquals((await giver.upgrade(second.socket)).at(-1).error, undefined);
  assertEquals((await first.ended()).code, EXIT_CODES.upgraded);
  await second.runs(giver);
});

const STEPS = [
  "hello",
  "files",
  "registers",
  "welcome",
  "serial",
  "state",
  "ready",
  "go",
  "runs",
] as const;

for (const step of STEPS) {
  testEach(
    `the new VMM is killed at "${step}": the guest goes on here, unless it ran there`,
    async () => {
      using giver = await Giver.running();
      await using vmm = await TakingVmm.started();
      let killed = false;
      using between = new PassingBetween({
        ...{ folder: giver.folder.path, to: vmm.socket },
        async passing(what) {
          if (what !== step || killed) return;
          killed = true;
          vmm.kill();
          await vmm.ended();
        },
      });
      const last = (await giver.upgrade(between.socket)).at(-1);
      assert(killed);
      if (step === "runs") {
        assertMatch(last.upgraded, /^[0-9a-f]{32}$/);
        assertEquals((await giver.guest.ended()).code, EXIT_CODES.upgraded);
      } else {
        assertMatch(last.error, /^Cannot upgrade the guest: /);
        await giver.runsHere();
      }
      await between.done;
    },
  );

  testEach(
    `the old VMM is killed at "${step}": the guest goes on there, if its state had come`,
    async () => {
      using giver = await Giver.running();
      await using vmm = await TakingVmm.started();
      let killed = false;
      using between = new PassingBetween({
        ...{ folder: giver.folder.path, to: vmm.socket },
        async passing(what) {
          if (what !== step || killed) return;
          killed = true;
          await giver.guest.kill();
        },
      });
      await giver.upgrade(between.socket).catch(() => {});
      await between.done;
      assert(killed);
      if (["ready", "go", "runs"].includes(step)) return await vmm.runs(giver);
      const { ok, error } = await vmm.answer;
      if (ok) return await vmm.runs(giver);
      // All of the state had not been said.
      assertMatch(error, /^Cannot take the guest over/);
      assertEquals((await vmm.ended()).code, EXIT_CODES.host);
    },
  );
}

testEach(
  "who cannot take a guest says so before it is stopped; who gives it up, keeps it",
  async () => {
    using giver = await Giver.running();
    assertMatch((await giver.upgrade("/none")).at(-1).error, /connect to the socket/);
    const bad = await ask(giver.control, { op: "upgrade", socket: "relative" });
    assertMatch(bad.error, /^Cannot understand/);
    {
      // One that can read only what comes after this version's state.
      await using vmm = await TakingVmm.started();
      using between = new PassingBetween({
        ...{ folder: giver.folder.path, to: vmm.socket },
        passing: () => {},
        change: (text) => text.replace(/"format":\d+/, '"format":99'),
      });
      const last = (await giver.upgrade(between.socket)).at(-1);
      assertMatch(last.error, /it is of version 99, and known are/);
      assertEquals((await vmm.ended()).code, EXIT_CODES.host);
      await between.done;
      // Either side says so, and nothing else.
      assertEquals([...new Set(between.seen)].sort(), ["failed", "files", "hello", "registers"]);
    }
    {
      // Nobody waits for it any more.
      await using vmm = await TakingVmm.started();
      const stuck = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      using between = new PassingBetween({
        ...{ folder: giver.folder.path, to: vmm.socket },
        async passing(what) {
          if (what !== "ready") return;
          reached.resolve();
          await stuck.promise;
        },
      });
      const request = { op: "upgrade", socket: between.socket };
      const connection = await ControlConnection.open(giver.control, request);
      await reached.promise;
      for (const op of ["resume", "upgrade", "save"]) {
        const other = { op, socket: "/x", directory: "/x" };
        assertMatch((await ask(giver.control, other)).error, /is being upgraded/);
      }
      connection[Symbol.dispose]();
      assertEquals((await vmm.answer).ok, false);
      stuck.resolve();
      await between.done;
    }
    await giver.runsHere();
  },
);
