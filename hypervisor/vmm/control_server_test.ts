import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { CONTROL_VERSION, EXIT_CODES, MAX_LINE_BYTES, SPOKEN } from "./control.ts";
import { VERSION } from "./version.ts";
import { ask, ControlConnection } from "./testing/control_connection.ts";
import { type TinyKernel, tinyKernel } from "./testing/tiny_kernel.ts";
import { endOf, Folder, HAS_KVM, startVmm, type VmmEnd } from "./testing/vmm_process.ts";

interface Running {
  folder: Folder;
  socket: string;
  pid: number;
  ended: Promise<VmmEnd>;
}

/** A guest under control; what `body` leaves running is killed. */
function withGuest(kind: TinyKernel, body: (guest: Running) => Promise<void>) {
  return async () => {
    using folder = new Folder();
    const config = folder.file(
      "config.json",
      JSON.stringify({
        name: "demo",
        kernel: folder.file("kernel", tinyKernel(kind)),
        cmdline: "",
        memoryMiB: 128,
        cpus: 2,
        disks: [],
        nets: [],
        hotplugPorts: 1,
      }),
    );
    const socket = `${folder.path}/control.sock`;
    const vmm = startVmm(["--config", config, "--control", socket]);
    const ended = endOf(vmm);
    try {
      await appears(socket, ended);
      await body({ folder, socket, pid: vmm.pid, ended });
    } finally {
      try {
        vmm.kill("SIGKILL");
      } catch {
        // It has ended, as it should.
      }
      await ended;
    }
  };
}

async function appears(socket: string, ended: Promise<VmmEnd>): Promise<void> {
  let gone = false;
  ended.then(() => gone = true);
  for (;;) {
    try {
      (await Deno.connect({ transport: "unix", path: socket })).close();
      return;
    } catch (error) {
      if (gone) throw new Error(`The VMM ended: ${(await ended).errors}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

const test = (name: string, kind: TinyKernel, body: (guest: Running) => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM, fn: withGuest(kind, body) });

test("a guest is what its status says, and ends when it is told to", "halt", async (guest) => {
  const { ok, status } = await ask(guest.socket, { op: "status" });
  assert(ok);
  const { startedAt, ...rest } = status;
  assertEquals(rest, {
    version: CONTROL_VERSION,
    program: VERSION,
    speaks: SPOKEN,
    pid: guest.pid,
    name: "demo",
    state: "running",
    cpus: 2,
    memoryMiB: 128,
  });
  assert(Math.abs(Date.now() - startedAt) < 3_600_000);
  assertEquals(Deno.statSync(guest.socket).mode! & 0o777, 0o600);

  using events = await ControlConnection.open(guest.socket, { op: "events" });
  assertEquals((await events.line()).status.state, "running");
  assertEquals((await ask(guest.socket, { op: "power_button" })).status.state, "stopping");
  assertEquals(await events.line(), { event: "state", state: "stopping" });
  // It does not listen to the button, so the plug is pulled.
  assertEquals((await ask(guest.socket, { op: "kill" })).status.state, "stopping");
  const message = "It was told to end";
  assertEquals(await events.line(), { event: "exit", reason: "poweroff", message });
  assertEquals(await events.line(), undefined);
  const end = await guest.ended;
  assertEquals([end.code, end.serial], [EXIT_CODES.poweroff, ""]);
  assertEquals(JSON.parse(Deno.readTextFileSync(`${guest.folder.path}/exit.json`)), {
    reason: "poweroff",
    message,
  });
  assertEquals(guest.folder.names(), ["config.json", "exit.json", "kernel"]);
});

test(
  "who connects to the serial port sees what came before, and all see what comes",
  "echo",
  async (guest) => {
    const first = await ControlConnection.open(guest.socket, { op: "serial" });
    assert((await first.line()).ok);
    assertEquals(await first.until("\n"), "hello\n");
    await first.send("one.");
    assertEquals(await first.until("."), "one.");
    using second = await ControlConnection.open(guest.socket, { op: "serial" });
    assert((await second.line()).ok);
    assertEquals(await second.until("one."), "hello\none.");
    await second.send("two.");
    assertEquals([await first.until("."), await second.until(".")], ["two.", "two."]);
    // One that leaves takes nothing with it.
    first[Symbol.dispose]();
    await second.send("threeq");
    assertEquals(await second.all(), "threeq");
    assertEquals((await guest.ended).code, EXIT_CODES.poweroff);
  },
);

test(
  "two who type more than the port takes at once both get all of it in",
  "echo",
  async (guest) => {
    const BYTES = 5_000;
    using watcher = await ControlConnection.open(guest.socket, { op: "serial" });
    await watcher.line();
    const typists = await Promise.all(["a", "b"].map(async (letter) => {
      const connection = await ControlConnection.open(guest.socket, { op: "serial" });
      await connection.send(letter.repeat(BYTES));
      return connection;
    }));
    const count = { a: 0, b: 0 };
    while (count.a < BYTES || count.b < BYTES) {
      const seen = await watcher.until(count.a < BYTES ? "a" : "b");
      for (const letter of seen) if (letter === "a" || letter === "b") count[letter]++;
    }
    assertEquals(count, { a: BYTES, b: BYTES });
    for (const typist of typists) typist[Symbol.dispose]();
    await ask(guest.socket, { op: "kill" });
  },
);

test("a guest ends under somebody who types at it and is not heard", "halt", async (guest) => {
  using deaf = await ControlConnection.open(guest.socket, { op: "serial" });
  await deaf.line();
  await deaf.send("x".repeat(10_000));
  assert((await ask(guest.socket, { op: "kill" })).ok);
  assertEquals((await guest.ended).code, EXIT_CODES.poweroff);
});

test("a client that says no more after its request is answered", "halt", async (guest) => {
  using watcher = await ControlConnection.open(guest.socket, { op: "serial" });
  await watcher.until("hello\n");
  for (const op of ["status", "serial", "events", "kill"]) {
    using connection = await ControlConnection.open(guest.socket, { op });
    await connection.closeWrite();
    const answer = await connection.all();
    assertStringIncludes(answer, '"ok":true', op);
    if (op === "serial") assertStringIncludes(answer, "hello\n");
  }
  assertEquals((await guest.ended).code, EXIT_CODES.poweroff);
});

test(
  "a guest that is paused does nothing, and goes on when it is resumed",
  "echo",
  async (guest) => {
    using events = await ControlConnection.open(guest.socket, { op: "events" });
    assert((await events.line()).ok);
    using terminal = await ControlConnection.open(guest.socket, { op: "serial" });
    assert((await terminal.line()).ok);
    assertEquals(await terminal.until("\n"), "hello\n");
    const paused = await ask(guest.socket, { op: "pause" });
    assertEquals(paused.status.pausedFor, "It was told to pause");
    assertEquals(await events.line(), { event: "paused", reason: "It was told to pause" });
    await terminal.send("one.");
    // It would have been echoed long before other questions are answered.
    for (let i = 0; i < 20; i++) await ask(guest.socket, { op: "status" });
    const resumed = await ask(guest.socket, { op: "resume" });
    assertEquals(resumed.status.pausedFor, undefined);
    assertEquals(await events.line(), { event: "resumed" });
    assertEquals(await terminal.until("."), "one.");
    // One that is paused ends as well.
    await ask(guest.socket, { op: "pause" });
    await ask(guest.socket, { op: "kill" });
    assertEquals((await guest.ended).code, EXIT_CODES.poweroff);
  },
);

test(
  "devices tell of themselves by name; a change that cannot be says why",
  "halt",
  async (guest) => {
    const { ok, devices } = await ask(guest.socket, { op: "devices" });
    assertEquals([ok, Object.keys(devices)], [true, ["rng0"]]);
    const change = (device: unknown, change: unknown) =>
      ask(guest.socket, { op: "change", device, change });
    assertStringIncludes(
      (await change("disk7", {})).error,
      'Cannot change "disk7": the guest has no',
    );
    assertStringIncludes(
      (await change("rng0", {})).error,
      'Cannot change "rng0": nothing about it',
    );
    for (const wrong of [null, [], 7, undefined]) {
      assertStringIncludes((await change("rng0", wrong)).error, "it is no request");
    }
    await ask(guest.socket, { op: "kill" });
  },
);

test("what is no request is refused, and the guest goes on", "halt", async (guest) => {
  for (const request of ["nonsense", null, 7, [], {}, { op: "explode" }, { op: null }]) {
    const { ok, error } = await ask(guest.socket, request);
    assertEquals(ok, false);
    assertStringIncludes(error, "it is no request");
  }
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.json(), fc.string({ unit: "binary" })), async (text) => {
      using connection = await ControlConnection.open(guest.socket);
      await connection.send(text.replaceAll("\n", " ") + "\n");
      assertEquals((await connection.line()).ok, false);
    }),
    { numRuns: 15 },
  );
  using endless = await ControlConnection.open(guest.socket);
  await endless.send("x".repeat(MAX_LINE_BYTES)).catch(() => {});
  await endless.send("x".repeat(8192)).catch(() => {});
  assertEquals(await endless.all().catch(() => ""), "");
  using silent = await ControlConnection.open(guest.socket);
  await silent.closeWrite();
  assertEquals(await silent.all(), "");
  assertEquals((await ask(guest.socket, { op: "status" })).status.state, "running");
  await ask(guest.socket, { op: "kill" });
});

Deno.test({
  name: "a guest that cannot start leaves word of why, and no socket",
  ignore: !HAS_KVM,
  fn: async () => {
    using folder = new Folder();
    const kernel = folder.file("kernel", "not a kernel");
    const config = folder.file(
      "config.json",
      JSON.stringify({
        ...{ name: "demo", kernel, cmdline: "", memoryMiB: 128, cpus: 1, disks: [], nets: [] },
      }),
    );
    const socket = `${folder.path}/control.sock`;
    const { code, errors } = await endOf(startVmm(["--config", config, "--control", socket]));
    assertEquals(code, EXIT_CODES.refused);
    const { reason, message } = JSON.parse(Deno.readTextFileSync(`${folder.path}/exit.json`));
    assertEquals(reason, "refused");
    assertStringIncludes(message, `Cannot boot "${kernel}"`);
    assertEquals(errors.trim(), message);
    assertEquals(folder.names(), ["config.json", "exit.json", "kernel"]);
  },
});

Deno.test({
  name: "a guest's own end is in the exit code and in the file beside the socket",
  ignore: !HAS_KVM,
  fn: async () => {
    for (const [kind, reason] of [["reset", "reboot"], ["crash", "crash"]] as const) {
      using folder = new Folder();
      const kernel = folder.file("kernel", tinyKernel(kind));
      const config = folder.file(
        "config.json",
        JSON.stringify({
          ...{ name: "demo", kernel, cmdline: "", memoryMiB: 128, cpus: 1, disks: [], nets: [] },
        }),
      );
      const socket = `${folder.path}/control.sock`;
      const { code } = await endOf(startVmm(["--config", config, "--control", socket]));
      assertEquals(code, EXIT_CODES[reason]);
      assertEquals(JSON.parse(Deno.readTextFileSync(`${folder.path}/exit.json`)).reason, reason);
    }
  },
});

test("a disk is plugged in, and taken out by force", "halt", async ({ socket, folder }) => {
  using events = await ControlConnection.open(socket, { op: "events" });
  await events.line();
  const path = folder.file("disk.raw", new Uint8Array(1 << 20));
  const plug = { op: "plug", device: { disk: { path } } };
  assertEquals(await ask(socket, plug), { ok: true, plugged: "block0" });
  const { devices } = await ask(socket, { op: "devices" });
  assertEquals(Object.keys(devices), ["rng0", "block0"]);
  assertStringIncludes((await ask(socket, plug)).error, "all 1 hot-plug ports are taken");
  const unplug = { op: "unplug", device: "block0" };
  assert((await ask(socket, unplug)).ok);
  assertStringIncludes((await ask(socket, unplug)).error, "the guest is already at it");
  assert((await ask(socket, { ...unplug, force: true })).ok);
  assertEquals(await events.line(), { event: "unplugged", device: "block0" });
  assertStringIncludes((await ask(socket, unplug)).error, "there is no such device");
  assertStringIncludes(
    (await ask(socket, { op: "plug", device: { disk: { path: "/no" } } })).error,
    'Cannot use disk "/no"',
  );
  assertEquals(await ask(socket, plug), { ok: true, plugged: "block0" });
});
