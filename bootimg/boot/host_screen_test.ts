import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { ioctlBuffer, ior, iow } from "../../hypervisor/sys/ioctl.ts";
import { USUAL_SIZE } from "../screen/canvas.ts";
import type { HostState } from "../screen/host_page.ts";
import type { Key, KeyName } from "../screen/keys.ts";
import type { Effect, MenuContext, View } from "../screen/menu.ts";
import { eraseIfMarked, markErase } from "./factory_reset.ts";
import { HostScreen } from "./host_screen.ts";
import { openTerminal, readKeys, type Terminal } from "./terminal.ts";

const STATE: HostState = {
  ...{ version: "1.2.3", hostname: "lab-1", stage: null, addresses: ["192.0.2.7"] },
  ...{ fingerprint: null, setupCode: null, problems: [], uptimeSeconds: 60, load: [0, 0, 0] },
  ...{ cpus: 1, memoryMiB: 1024, memoryFreeMiB: 512, health: null, hint: "Enter: menu" },
};

class Stage implements Terminal {
  written = "";
  press: (key: Key) => void = () => {};
  context: MenuContext = {
    ...{ hostname: "lab-1", menu: "full", shell: true, network: Network.parse({}) },
    ...{ trialSeconds: null, whyNoUndo: "none" },
  };
  readonly effects: Effect[] = [];
  answer: () => Promise<View> = () => Promise.resolve({ kind: "host" });
  readonly settled = Promise.resolve();
  readonly screen = new HostScreen({
    terminal: this,
    context: () => this.context,
    act: (effect) => {
      this.effects.push(effect);
      return this.answer();
    },
    idleMs: 50,
    tickMs: 5,
  });

  size() {
    return USUAL_SIZE;
  }

  write(output: string): void {
    this.written += output;
  }

  onKey(listener: (key: Key) => void): void {
    this.press = listener;
  }

  keys(...names: KeyName[]): void {
    for (const name of names) this.press({ name });
  }

  async idle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
}

Deno.test("the page is drawn once, then what changes of it; a key brings the menu, time the page", async () => {
  const stage = new Stage();
  stage.keys("enter");
  assertEquals(stage.written, "", "there is nothing to show yet");
  stage.screen.show(STATE);
  assertStringIncludes(stage.written, "https://192.0.2.7/");
  stage.written = "";
  stage.screen.show(STATE);
  assertEquals(stage.written, "");
  stage.screen.show({ ...STATE, addresses: ["192.0.2.8"] });
  assertStringIncludes(stage.written, "https://192.0.2.8/");
  assert(!stage.written.includes("Memory"), "the rest is there already");
  stage.keys("enter");
  assertStringIncludes(stage.written, "Root shell");
  stage.written = "";
  stage.screen.show(STATE);
  assert(!stage.written.includes("192.0.2.7"), "the menu stays");
  await stage.idle();
  assertStringIncludes(stage.written, "https://192.0.2.7/");
  stage.keys("redraw");
  assertStringIncludes(stage.written, "\x1b[2J");
});

Deno.test("what was chosen is done, and why it could not be is shown", async () => {
  const stage = new Stage();
  stage.screen.show(STATE);
  stage.answer = () => Promise.reject(new Error("Cannot reset: busy\x1b[2J"));
  stage.keys("enter", "down", "enter", "enter");
  assertEquals(stage.effects, [{ do: "resetPassword" }]);
  assertStringIncludes(stage.written, "Resetting the password");
  stage.written = "";
  await Promise.resolve();
  await stage.idle();
  assertStringIncludes(stage.written, "Cannot reset: busy?[2J");
});

Deno.test("a network that is tried counts down; its end by anybody ends that", async () => {
  const stage = new Stage();
  stage.screen.show(STATE);
  stage.context = { ...stage.context, trialSeconds: 9 };
  stage.keys("enter");
  assertStringIncludes(stage.written, "undone in 9 s");
  stage.context = { ...stage.context, trialSeconds: 8 };
  await stage.idle();
  assertStringIncludes(stage.written, "undone in 8 s");
  assertEquals(stage.screen.view.kind, "trial", "it does not go away by itself");
  stage.answer = () => Promise.reject(new Error("it is not in force yet"));
  stage.keys("enter");
  await stage.idle();
  assertStringIncludes(stage.written, "it is not in force yet");
  stage.context = { ...stage.context, trialSeconds: null };
  await stage.idle();
  assertEquals(stage.screen.view.kind, "host");
});

Deno.test("while the host ends, and where the settings say so, there is no menu", () => {
  const stage = new Stage();
  stage.screen.show(STATE);
  stage.keys("enter");
  stage.context = { ...stage.context, menu: "none" };
  stage.screen.show({ ...STATE, stage: "Restarting", hint: null });
  assertEquals(stage.screen.view.kind, "host");
  stage.keys("enter", "down", "enter");
  assertEquals([stage.screen.view.kind, stage.effects], ["host", []]);
});

Deno.test("keys come from whatever pieces are read, and Escape after a moment", async () => {
  const pieces = ["\x1b", "[A", "x", "\x1b"].map((it) => new TextEncoder().encode(it));
  const keys: Key[] = [];
  await readKeys({
    async read(bytes) {
      const piece = pieces.shift();
      if (piece === undefined) {
        // Longer than Escape is waited for.
        await new Promise((resolve) => setTimeout(resolve, 120));
        return null;
      }
      bytes.set(piece);
      return piece.length;
    },
  }, (key) => keys.push(key));
  assertEquals(keys, [{ name: "up" }, { char: "x" }, { name: "escape" }]);
});

const TIOCGPTN = ior("T".charCodeAt(0), 0x30, 4);
const TIOCSPTLCK = iow("T".charCodeAt(0), 0x31, 4);
const TIOCSWINSZ = 0x5414;

/** A terminal that is not one of Linux's consoles, with its other side. */
function openPty(): { path: string; master: Deno.FsFile } {
  const known = new Set(ptyDescriptors());
  const master = Deno.openSync("/dev/ptmx", { read: true, write: true });
  const fd = ptyDescriptors().find((it) => !known.has(it))!;
  const number = new Uint32Array(1);
  ioctlBuffer(fd, TIOCSPTLCK, new Uint8Array(4));
  ioctlBuffer(fd, TIOCGPTN, new Uint8Array(number.buffer));
  ioctlBuffer(fd, TIOCSWINSZ, new Uint8Array(new Uint16Array([50, 160, 0, 0]).buffer));
  return { path: `/dev/pts/${number[0]}`, master };
}

function ptyDescriptors(): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name).filter((name) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).endsWith("ptmx");
    } catch {
      return false;
    }
  }).map(Number);
}

Deno.test({
  name: "a real terminal gives its size and its keys, unechoed, and shows what is written",
  // The keyboard is read for as long as process 1 lives.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const { path, master } = openPty();
    const terminal = openTerminal(path)!;
    assertEquals(terminal.size(), { columns: 160, rows: 50 });
    const keys: Key[] = [];
    const four = Promise.withResolvers<void>();
    terminal.onKey((key) => keys.push(key) === 4 && four.resolve());
    // Until the terminal is in raw mode, it would keep keys for a line of its own.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await master.write(new TextEncoder().encode("\x1b[Bq\r\x03"));
    await four.promise;
    assertEquals(keys, [{ name: "down" }, { char: "q" }, { name: "enter" }, { name: "escape" }]);
    terminal.write("shown");
    await terminal.settled;
    const bytes = new Uint8Array(100);
    const count = await master.read(bytes);
    assertEquals(new TextDecoder().decode(bytes.subarray(0, count!)), "shown", "and no echo");
    master.close();
    assertEquals(openTerminal("/dev/a-terminal-that-is-not-there"), null);
  },
});

Deno.test("everything is deleted but the mark, and that last; a cut on the way is made good", async () => {
  const data = await Deno.makeTempDir();
  const fill = () => {
    for (const name of ["host", "guests/one", "console"]) {
      Deno.mkdirSync(`${data}/${name}`, { recursive: true });
      Deno.writeTextFileSync(`${data}/${name}/file`, "x");
    }
    Deno.writeTextFileSync(`${data}/denovisor.db`, "x");
    Deno.symlinkSync("/etc", `${data}/link`);
  };
  const names = () => [...Deno.readDirSync(data)].map(({ name }) => name).sort();
  fill();
  assertEquals(await eraseIfMarked(data), false, "nobody asked for it");
  assertEquals(names().length, 5);
  markErase(data);
  for (let cuts = 0; cuts < 5; cuts++) {
    const cut = eraseIfMarked(data, async (path) => {
      if (names().length === 6 - cuts) await Deno.remove(path, { recursive: true });
      else throw new Error("the power is gone");
    });
    await cut.catch(() => {});
    assert(names().includes("erase-everything") || cuts === 4);
  }
  await eraseIfMarked(data);
  assertEquals(names(), []);
  assert(Deno.statSync("/etc").isDirectory, "links are not followed");
  assertEquals(await eraseIfMarked(data), false);
  await Deno.remove(data);
});
