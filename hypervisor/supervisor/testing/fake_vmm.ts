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
 *
 * Serial input is echoed; `poweroff`, `reboot` and `crash` typed as a line do what they say.
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
  type Request,
  type Response,
  SERIAL_REPLAY_BYTES,
  type VmmState,
} from "../../vmm/control.ts";

const { control, config: configFile } = parseArgs(Deno.args, { string: ["control", "config"] });
const config: GuestConfig = JSON.parse(Deno.readTextFileSync(configFile!));
const words = new Set(config.cmdline.split(/\s+/));
const encode = (text: string) => new TextEncoder().encode(text);
const startedAt = Date.now();

let state: VmmState = "running";
let replay = encode(`console of ${config.name}\r\n`);
const followers = new Set<Deno.Conn>();
const terminals = new Set<Deno.Conn>();

function writeLine(connection: Deno.Conn, message: Response | Event) {
  return connection.write(encode(JSON.stringify(message) + "\n"));
}

async function end(reason: ExitReason, message: string): Promise<never> {
  if (!words.has("mute-exit")) {
    for (const follower of followers) {
      await writeLine(follower, { event: "exit", reason, message }).catch(() => {});
    }
    const path = join(dirname(control!), "exit.json");
    Deno.writeTextFileSync(path, JSON.stringify({ reason, message }));
  }
  Deno.removeSync(control!);
  Deno.exit(EXIT_CODES[reason]);
}

async function print(bytes: Uint8Array) {
  const all = new Uint8Array(replay.length + bytes.length);
  all.set(replay);
  all.set(bytes, replay.length);
  replay = all.slice(-SERIAL_REPLAY_BYTES);
  for (const terminal of terminals) await terminal.write(bytes).catch(() => {});
}

async function setState(next: VmmState) {
  state = next;
  for (const follower of followers) {
    await writeLine(follower, { event: "state", state }).catch(() => {});
  }
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
  await writeLine(connection, {
    ok: true,
    status: {
      version: CONTROL_VERSION,
      pid: Deno.pid,
      name: config.name,
      state,
      startedAt,
      cpus: config.cpus,
      memoryMiB: config.memoryMiB,
    },
  });
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
    case "events":
      followers.add(connection);
      if (words.has("crash")) await end("crash", "triple fault at 0xfff0");
      await readAll(connection, () => {});
      followers.delete(connection);
      break;
    case "serial":
      await connection.write(replay);
      terminals.add(connection);
      await readAll(connection, async (bytes) => {
        const typed = new TextDecoder().decode(bytes).trim();
        await print(bytes);
        if (typed === "poweroff" || typed === "reboot" || typed === "crash") {
          await end(typed, `typed ${typed}`);
        }
      });
      terminals.delete(connection);
      break;
  }
  connection.close();
}

if (words.has("refuse")) {
  console.error(`Cannot load the kernel "${config.kernel}": bad magic`);
  Deno.exit(EXIT_CODES.refused);
}
if (words.has("slow")) await new Promise((resolve) => setTimeout(resolve, 300));
const listener = Deno.listen({ transport: "unix", path: control! });
for await (const connection of listener) void serve(connection);
