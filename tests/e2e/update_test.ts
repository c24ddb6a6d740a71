/**
 * An appliance is updated: by a system that works, and by several that do not, after each of which the
 * one of before runs again by itself.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ownUpdateKey, readKey, signSystem } from "../../bootimg/build/update_key.ts";
import { readTable } from "../../bootimg/disk/disk_table.ts";
import { slotPartition } from "../../bootimg/slots/places.ts";
import { parseSections } from "../../bootimg/slots/unified_kernel.ts";
import type { HostUpdate } from "../../hypervisor/supervisor/api/host_update.ts";
import { CACHE } from "../../scripts/setup/checkout.ts";
import { Appliance, ApplianceDisk, buildAppliance } from "./appliance/host.ts";

const NEWER = "99.0.0";
const HEAD_BYTES = 4096;
/** A word that no boot depends on; what takes its place is no longer. */
const ROOM = "vt.global_cursor_default=0";
/** Emulated, a start alone takes minutes. */
const START_SECONDS = 200;

type System = Uint8Array<ArrayBuffer>;

/** The system with other words on its kernel's command line. */
function withWords(system: System, words: Record<string, string>): System {
  const changed = system.slice();
  const section = parseSections(changed.subarray(0, HEAD_BYTES), changed.length)
    .find(({ name }) => name === ".cmdline")!;
  const range = changed.subarray(section.offset, section.offset + section.bytes);
  let text = new TextDecoder("latin1").decode(range);
  for (const [from, to] of Object.entries(words)) {
    assert(text.includes(from) && to.length <= from.length, `${from} -> ${to}`);
    text = text.replace(from, to.padEnd(from.length));
  }
  new TextEncoder().encodeInto(text, range);
  return changed;
}

/** The system with zeros in its root: none can be unpacked. */
function withoutRoot(system: System): System {
  const changed = system.slice();
  const section = parseSections(changed.subarray(0, HEAD_BYTES), changed.length)
    .find(({ name }) => name === ".initrd")!;
  changed.fill(0, section.offset, section.offset + section.bytes);
  return changed;
}

async function signed(system: System, version = NEWER): Promise<string> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, system);
    const own = await ownUpdateKey();
    const { privateKey } = await readKey(await Deno.readTextFile(own), own);
    return await signSystem(path, { version, key: privateKey! });
  } finally {
    await Deno.remove(path);
  }
}

/** Zeros the beginning of the system in a slot, as a disk might. */
async function damage(disk: string, system: System): Promise<void> {
  const { size } = await Deno.stat(disk);
  const part = slotPartition((await readTable(disk, size / 512))!, "a")!;
  using file = await Deno.open(disk, { read: true, write: true });
  const bytes = new Uint8Array(64 * 1024);
  await file.seek(part.firstSector * 512, Deno.SeekMode.Start);
  await file.read(bytes);
  const head = system.subarray(0, 64);
  const at = bytes.findIndex((_, i) => head.every((byte, j) => bytes[i + j] === byte));
  assert(at > 0, "the system lies in the slot");
  await file.seek(part.firstSector * 512 + at, Deno.SeekMode.Start);
  await file.write(new Uint8Array(64 * 1024));
}

const tell = (host: Appliance) => host.ask<HostUpdate>("host", "GET /update");

Deno.test("an update is kept, and one that fails falls back by itself", async (t) => {
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".update-" });
  await using disk = await ApplianceDisk.make({ bare: true });
  const built = await buildAppliance({
    ...{ folder, version: NEWER },
    entries: {
      hang: "tests/e2e/appliance/hanging_boot.ts",
      mute: "tests/e2e/appliance/silent_boot.ts",
    },
  });
  const system: System = await Deno.readFile(built.system);
  await Deno.remove(folder, { recursive: true });

  let host = await Appliance.start(disk, { keepsVariables: true, restarts: true });
  const outcome = { fell: 0, of: 0 };
  try {
    const first = await host.until("the first system", async () => {
      const told = await tell(host);
      return told.whyNot === null ? told : undefined;
    }, START_SECONDS);
    assertEquals([first.running.system, first.good, first.systems.a], ["image", "image", null]);
    const { version } = first.running;
    await host.until("the console", () => host.process("console"), START_SECONDS);

    await t.step("what is not signed, older or truncated is refused", async () => {
      const refused = async (bytes: System, signature: string | null, why: RegExp) => {
        const { status, answer } = await host.update(bytes, signature);
        assertEquals(status, 422, JSON.stringify(answer));
        assertMatch(answer.message ?? "", why);
      };
      const small = system.slice(0, 1024 * 1024);
      await refused(small, null, /it is not signed/);
      await refused(small, await signed(small, "0.0.1"), /it is older than/);
      await refused(small, await signed(system), /is truncated/);
      const stranger = await readKey(await strangersKey(), "stranger");
      const path = await Deno.makeTempFile();
      await Deno.writeFile(path, small);
      const text = await signSystem(path, { version: NEWER, key: stranger.privateKey! });
      await refused(small, text, /not signed with this host's update key/);
      assertEquals((await tell(host)).systems.a, null);
    });

    const put = async (bytes: System) => {
      const { status, answer } = await host.update(bytes, await signed(bytes));
      assertEquals(status, 200, JSON.stringify(answer));
      assertEquals(answer.ready, { version: NEWER, system: "a" });
    };
    const fallen = async (since: string | null) =>
      await host.until("falling back", async () => {
        const { last, running, trial } = await tell(host);
        const isOver = last !== null && last.at !== since && running.system === "image" &&
          trial === null;
        return isOver ? last : undefined;
      }, 2 * START_SECONDS);
    const fails = (name: string, bytes: System, why: RegExp, then?: () => Promise<void>) =>
      t.step(`falls back: ${name}`, async () => {
        outcome.of++;
        const { last } = await tell(host);
        await put(bytes);
        await host.ask("restart");
        // What stands there is of before it went down.
        const now = performance.now();
        await then?.();
        const told = await fallen(last?.at ?? null);
        assertEquals([told.outcome, told.from, told.to], ["fell back", version, NEWER]);
        assertMatch(told.why ?? "", why);
        await host.until("the console", () => host.process("console"), START_SECONDS);
        outcome.fell++;
        console.log(`${name}: ${Math.round((performance.now() - now) / 1000)} s, ${told.why}`);
      });

    await t.step("one that works is kept", async () => {
      await host.until("the console", () => host.process("console"), START_SECONDS);
      await put(system);
      await host.ask("restart");
      const told = await host.until("the newer system", async () => {
        const told = await tell(host);
        return told.running.version === NEWER && told.last?.outcome === "kept" ? told : undefined;
      }, 2 * START_SECONDS);
      assertEquals([told.good, told.trial], ["a", null]);
      assertEquals(told.undo, { version, system: "image" });
    });
    await t.step("and undone", async () => {
      const told = await host.ask<HostUpdate>("host", "POST /update/undo");
      assertEquals(told.ready, { version, system: "image" });
      await host.ask("restart");
      const { last } = await host.until("the system of before", async () => {
        const told = await tell(host);
        return told.running.version === version ? told : undefined;
      }, 2 * START_SECONDS);
      assertEquals([last?.outcome, last?.from, last?.to], ["undone", NEWER, version]);
    });
    await fails(
      "a kernel that panics",
      withWords(system, { "rdinit=/bin/deno": "rdinit=/bin/none" }),
      /It did not start/,
    );
    await fails(
      "a process 1 that hangs",
      withWords(system, { "/app/boot.js": "/app/hang.js" }),
      /It did not start|It started, and then/,
    );
    const mute = withWords(system, {
      "/app/boot.js": "/app/mute.js",
      [ROOM]: "denovisor.trial=60",
    });
    await fails("no console in time", mute, /not so far that the console answers/);
    await fails("a root that is damaged", withoutRoot(system), /It did not start/);
    await fails("the power goes while it is on trial", system, /It started, and then/, async () => {
      await host.until("the trial", async () => {
        const { trial } = await tell(host);
        return trial ?? undefined;
      }, START_SECONDS);
      await host[Symbol.asyncDispose]();
      host = await Appliance.start(disk, { keepsVariables: true, restarts: true });
    });
    await t.step("falls back: a slot that the disk damaged", async () => {
      outcome.of++;
      const { last } = await tell(host);
      await put(system);
      await damage(disk.path, system);
      await host.ask("restart");
      const told = await fallen(last?.at ?? null);
      assertMatch(told.why ?? "", /It did not start/);
      outcome.fell++;
    });
  } finally {
    console.log(`${outcome.fell} of ${outcome.of} broken systems fell back`);
    await host[Symbol.asyncDispose]();
  }
});

async function strangersKey(): Promise<string> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign"]) as CryptoKeyPair;
  const bytes = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  return `-----BEGIN PRIVATE KEY-----\n${bytes.toBase64()}\n-----END PRIVATE KEY-----\n`;
}
