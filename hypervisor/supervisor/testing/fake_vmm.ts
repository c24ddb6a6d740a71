/**
 * A program that speaks the control protocol as a VMM does, without a guest. Its command line says
 * how it behaves, as words in the guest's `cmdline`:
 *
 * - `refuse`: exits as refused, with a message on stderr, before it listens
 * - `slow`: listens after a while
 * - `deaf`: ignores the power button
 * - `crash`: crashes as soon as someone follows its events
 * - `reboot-on-button`: asks for a reset where it would power off
 * - `mute-exit`: neither says nor writes why it ends
 * - `agent`: has an agent on the port for it
 * - `no-plugging`: refuses to plug anything in
 * - `no-replugging`: refuses to, once it has gone on from a snapshot
 * - `clings`: lets go of a device only by force
 * - `save-fails`, `saves-slowly`: is not saved, or does not get on with it
 * - `never-asks`: is stopped to be saved when it is time, as by a VMM of before one could be asked
 * - `no-going-on`: refuses to go on from a snapshot when all of it is ready
 * - `no-upgrade`: does not hand its guest over
 * - `speaks-newer`, `speaks-nothing`: says to other VMMs what those here do not understand; is of before it said
 * - `stuck-upgrade`: hands it over for as long as somebody waits for that
 *
 * and, while it gives its guest to another or gets one, `no-cpu`, `slow-memory`, `dies-at-go`,
 * `changes-its-mind`, `dies-when-written`, `dies-when-said`, `mute-go`, `silent-receiver`, `slow-go`,
 * `dies-before-ready` and `dies-at-word`: see `fake_migration.ts`. One with `mute-there` or
 * `mute-undecided` answers nobody once it runs the guest, or waits for a word that does not come. With
 * `writes`, the guest writes to its first disk in the last moment.
 *
 * Serial input is echoed; `poweroff`, `reboot` and `crash` typed as a line do what they say, and `full`
 * and `room` have the host's disk full and no more. `write DISK POSITION TEXT` writes that to a disk.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { dirname, join } from "@std/path";
import {
  CONTROL_VERSION,
  type Event,
  EXIT_CODES,
  type ExitReason,
  type GuestConfig,
  type PlugConfig,
  type Request,
  type Response,
  SERIAL_REPLAY_BYTES,
  SPOKEN,
  type Spoken,
  type UpgradeMessage,
  type VmmState,
} from "../../vmm/control.ts";
import { ANSWERS, type FakeAgent, serveFakeAgent } from "./fake_agent.ts";
import { fakeSave, fakeSaved, NO_FORK, refuseBase } from "./fake_copies.ts";
import { FakeDevices } from "./fake_devices.ts";
import { ordered, type Orders } from "./fake_orders.ts";
import { give } from "./fake_upgrade.ts";
import { VERSION } from "../version.ts";
import { FakeLocks } from "./fake_locks.ts";
import { fakeSend, FakeWrites } from "./fake_migration.ts";

/** How long a guest takes to let go of a device. */
const LET_GO_MS = 50;
/** How long a VMM that has handed its guest over may take to end. */
const HANDED_OVER_MS = 5_000;

const { control: first, config: configFile, wait } = parseArgs(Deno.args, {
  string: ["control", "config"],
  boolean: ["wait"],
});
const encode = (text: string) => new TextEncoder().encode(text);
/** Listens at once; with `--wait` nothing else of it happens before it is told what to run. */
const early = wait ? Deno.listen({ transport: "unix", path: first! }) : undefined;
const door = { handle: (connection: Deno.Conn) => Promise.resolve(connection.close()) };
const { config, control, order, handed, ...received }: Orders = early === undefined
  ? { config: JSON.parse(Deno.readTextFileSync(configFile!)) as GuestConfig, control: first! }
  : await ordered(early, door);
const words = new Set(config.cmdline.split(/\s+/));
const startedAt = handed?.startedAt ?? Date.now();
const devices = new FakeDevices(config);
const locks = received.locks ?? lockedDisks();
const writes = new FakeWrites(config, locks);

let state: VmmState = "running";
let agent: FakeAgent | undefined;
let pausedFor = handed?.pausedFor ?? null;
const restored = order?.restore === undefined ? undefined : fakeSaved(order.restore);
/** It goes on from a snapshot once it is told to. */
let isHeld = order?.restore !== undefined && order.hold === true;
if (isHeld) pausedFor = "It waits to go on";
let replay = encode(
  handed?.replay ??
    `console of ${config.name}${restored === undefined ? "" : `, once ${restored.name}`}\r\n`,
);
const followers = new Set<Deno.Conn>();
const terminals = new Set<Deno.Conn>();

function lockedDisks(): FakeLocks {
  try {
    const locks = new FakeLocks(config);
    // The VMM that handed the guest over has them until it has ended.
    locks.take(handed === undefined ? {} : { withinMs: HANDED_OVER_MS });
    return locks;
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(EXIT_CODES.refused);
  }
}

function writeLine(connection: Deno.Conn, message: Response | Event) {
  return connection.write(encode(JSON.stringify(message) + "\n"));
}

async function end(reason: ExitReason, message: string): Promise<never> {
  if (!words.has("mute-exit")) {
    for (const follower of followers) {
      await writeLine(follower, { event: "exit", reason, message }).catch(() => {});
    }
    const path = join(dirname(control), "exit.json");
    Deno.writeTextFileSync(path, JSON.stringify({ reason, message }));
  }
  Deno.removeSync(control);
  Deno.exit(EXIT_CODES[reason]);
}

async function print(bytes: Uint8Array) {
  const all = new Uint8Array(replay.length + bytes.length);
  all.set(replay);
  all.set(bytes, replay.length);
  replay = all.slice(-SERIAL_REPLAY_BYTES);
  for (const terminal of terminals) await terminal.write(bytes).catch(() => {});
}

async function publish(event: Event) {
  for (const follower of followers) await writeLine(follower, event).catch(() => {});
}

async function setState(next: VmmState) {
  state = next;
  await publish({ event: "state", state });
}

async function pause(reason: string | null) {
  if ((pausedFor === null) === (reason === null)) return;
  pausedFor = reason;
  await publish(reason === null ? { event: "resumed" } : { event: "paused", reason });
}

function plug(device: PlugConfig): string {
  const name = devices.plug(device);
  if ("disk" in device) locks.plug(name, device.disk);
  return name;
}

async function unplug(name: string) {
  devices.takeOut(name);
  locks.unplug(name);
  await publish({ event: "unplugged", device: name });
}

/** What it says to a VMM that its guest is sent to. */
function spoken(): { speaks?: Spoken } {
  if (words.has("speaks-nothing")) return {};
  const { protocol, format } = SPOKEN;
  return { speaks: { protocol: words.has("speaks-newer") ? protocol + 1 : protocol, format } };
}

/** Does what only an answer is wanted of; the answer's part beside the status. */
async function answer(request: Request): Promise<Response> {
  switch (request.op) {
    case "devices":
      return { ok: true, devices: devices.reports() };
    case "change":
      devices.change(request.device, request.change);
      break;
    case "plug":
      if (words.has(restored === undefined ? "no-plugging" : "no-replugging")) {
        throw new RangeError("Cannot plug a device in: not here");
      }
      return { ok: true, plugged: plug(request.device) };
    case "unplug":
      devices.refuseFixed(request.device);
      if (request.force) await unplug(request.device);
      else if (!words.has("clings")) setTimeout(() => void unplug(request.device), LET_GO_MS);
      break;
    case "pause":
      await pause("It was told to pause");
      break;
    case "resume":
      if (isHeld && words.has("no-going-on")) throw new Error("Cannot go on: not here");
      isHeld = false;
      await pause(null);
      break;
    case "save":
      refuseBase(request);
      break;
    case "fork":
      return NO_FORK;
    case "track_disks":
      writes.track(request.on);
      break;
    case "disk_changes":
      return { ok: true, changes: writes.changes(request.device) };
  }
  return standing();
}

function standing(): Response {
  return {
    ok: true,
    status: {
      version: CONTROL_VERSION,
      ...spoken(),
      program: VERSION,
      pid: Deno.pid,
      name: config.name,
      state,
      startedAt,
      cpus: config.cpus,
      memoryMiB: config.memoryMiB,
      ...(pausedFor !== null && { pausedFor }),
      ...(isHeld && { held: true }),
    },
  };
}

/** Hands the guest over, and ends as one that has none. */
async function upgrade(connection: Deno.Conn, socket: string) {
  const say = (message: UpgradeMessage) => connection.write(encode(JSON.stringify(message) + "\n"));
  const isStuck = words.has("stuck-upgrade");
  if (isStuck) await readAll(connection, () => {});
  const keeps = isStuck || words.has("no-upgrade");
  const handed = { config, startedAt, pausedFor, replay: new TextDecoder().decode(replay) };
  await say({ upgrading: { phase: "giving", doneBytes: 0, totalBytes: 0 } }).catch(() => {});
  if (!await give(socket, keeps ? null : handed)) {
    await say({ error: "Cannot upgrade the guest: it was told not to" }).catch(() => {});
    return;
  }
  await say({ upgraded: "0".repeat(32), pauseMs: 1.5, rounds: 0, bytes: 0 });
  for (const follower of followers) {
    await writeLine(follower, { event: "exit", reason: "upgraded", message: "" }).catch(() => {});
  }
  Deno.exit(EXIT_CODES.upgraded);
}

async function readAll(connection: Deno.Conn, use: (bytes: Uint8Array) => void | Promise<void>) {
  const buffer = new Uint8Array(4096);
  while (true) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return;
    await use(buffer.slice(0, count));
  }
}

async function serve(connection: Deno.Conn) {
  const buffer = new Uint8Array(4096);
  const count = await connection.read(buffer) ?? 0;
  const request: Request = JSON.parse(new TextDecoder().decode(buffer.subarray(0, count)));
  const answered = request.op === "events" ? null : await answer(request)
    .catch((error): Response => ({ ok: false, error: (error as Error).message }));
  const written = writeLine(connection, answered ?? standing());
  // Whatever happens once it is answered how all stands is an event, and comes behind the answer.
  if (answered === null) followers.add(connection);
  await written;
  switch (request.op) {
    case "status":
      break;
    case "power_button":
      if (words.has("deaf")) {
        await setState("stopping");
        break;
      }
      await setState("stopping");
      await end(words.has("reboot-on-button") ? "reboot" : "poweroff", "");
      break;
    case "kill":
      await end("poweroff", "ended by request");
      break;
    case "send": {
      const go = Promise.withResolvers<void>();
      void readAll(connection, (bytes) => {
        if (new TextDecoder().decode(bytes).includes("go")) go.resolve();
      }).then(() => go.reject(new Error("its caller has gone")));
      const isGiven = await fakeSend({
        ...{ request, config, words, locks, control, go: go.promise },
        tell: (message) => writeLine(connection, message as Response).then(() => {}),
        held: () => {
          pausedFor = "It is on its way";
          if (words.has("writes")) writes.write(0, 4096, "the last of it");
        },
        resumed: () => pausedFor = null,
      });
      if (isGiven) await end("migrated", "The guest goes on in another VMM");
      break;
    }
    case "events":
      if (words.has("crash")) await end("crash", "triple fault at 0xfff0");
      await readAll(connection, () => {});
      followers.delete(connection);
      break;
    case "save": {
      const wasPaused = pausedFor !== null;
      await fakeSave(connection, request, {
        ...{ name: config.name, words },
        isFrozen: () => agent?.isFrozen ?? false,
        hold: (is) => wasPaused ? Promise.resolve() : pause(is ? "It is being saved" : null),
      }).catch(() => {});
      break;
    }
    case "serial":
      await connection.write(replay);
      terminals.add(connection);
      await readAll(connection, async (bytes) => {
        const typed = new TextDecoder().decode(bytes).trim();
        const write = /^write (\d+) (\d+) (.+)$/.exec(typed);
        if (write !== null) writes.write(Number(write[1]), Number(write[2]), write[3]);
        // Who sees the echo takes it as done.
        await print(bytes);
        if (typed === "full") await pause("The disk has no room on the host");
        if (typed === "room") await pause(null);
        if (typed === "poweroff" || typed === "reboot" || typed === "crash") {
          await end(typed, `typed ${typed}`);
        }
      });
      terminals.delete(connection);
      break;
    case "upgrade":
      await upgrade(connection, request.socket);
      break;
  }
  connection.close();
}

if (words.has("refuse")) {
  console.error(`Cannot load the kernel "${config.kernel}": bad magic`);
  Deno.exit(EXIT_CODES.refused);
}
if (order?.restore !== undefined && restored === undefined) {
  await end("refused", `Cannot use the snapshot "${order.restore}": it is not there`);
}
if (words.has("slow")) await new Promise((resolve) => setTimeout(resolve, 300));
if (words.has("agent")) {
  agent = serveFakeAgent(config.ports![0].socket, ANSWERS, { isFrozen: restored?.isFrozen });
}
door.handle = serve;
if (early === undefined) {
  const listener = Deno.listen({ transport: "unix", path: control });
  for await (const connection of listener) void serve(connection);
}
