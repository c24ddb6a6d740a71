import { assert, assertEquals, assertThrows } from "@std/assert";
import { close } from "../../sys/files.ts";
import { GuestMemory } from "../../machine/memory.ts";
import { openRam } from "../../machine/ram.ts";
import { isSealed } from "../../sys/seals.ts";
import { ConfigError } from "../config/fields.ts";
import { EventLoop } from "../event_loop.ts";
import { savedGuest } from "../snapshot/testing/saved_guest.ts";
import { Fork, type ForkableGuest, type ForkSource } from "./fork.ts";
import { settingsFor } from "../snapshot/restore.ts";
import { forkFrom } from "./fork_source.ts";

const LENGTH = 128 << 20;

/** A guest that does as it is told, and what was asked of it. */
class FakeGuest implements ForkableGuest {
  readonly log: string[] = [];
  readonly saved = savedGuest();
  isParked = true;
  freezes: () => void = () => {};
  readonly config = this.saved.config;
  readonly plugged = this.saved.plugged;
  readonly settings = this.saved.settings;
  readonly history = {
    next: () => this.saved.point,
    forget: () => void this.log.push("forget what has changed"),
  };

  hold(): void {
    this.log.push("hold");
  }

  freeze(): void {
    this.freezes();
    this.log.push("freeze");
  }

  rehearse() {
    return this.saved.machine;
  }

  capture() {
    this.log.push("capture");
    return this.saved.machine;
  }

  release(): void {
    this.log.push("release");
  }
}

function ram(mergeable: boolean) {
  const options = { length: LENGTH, mergeable };
  const spec = openRam(options, () => {});
  const memory = new GuestMemory(spec.address, LENGTH, { private: spec.private });
  memory.bytes.fill(7, 5 << 20, 30 << 20);
  return { memory, spec, options };
}

interface Run {
  guest: FakeGuest;
  loop: EventLoop;
  held: () => void;
  begin(options?: { hold?: boolean; mergeable?: boolean }): Fork;
  end(fork: Fork): ForkSource | Error;
}

function test(name: string, body: (run: Run) => void): void {
  Deno.test(name, () => {
    const loop = new EventLoop();
    const guest = new FakeGuest();
    let result: ForkSource | Error | undefined;
    const run: Run = {
      ...{ guest, loop, held: () => {} },
      begin: ({ hold, mergeable = false } = {}) =>
        new Fork(guest, {
          ...{ loop, hold, ram: ram(mergeable) },
          host: { held: () => run.held(), done: (it) => result = it },
        }),
      end(fork) {
        loop.run(() => fork.isOver);
        return result!;
      },
    };
    body(run);
  });
}

function good(result: ForkSource | Error): ForkSource {
  if (result instanceof Error) throw result;
  return result;
}

test("state and memory of the instant can be gone on from", (run) => {
  const { stateFd, memoryFd, copiedBytes } = good(run.end(run.begin()));
  const then = ["forget what has changed", "release"];
  assertEquals(run.guest.log, ["hold", "freeze", "capture", ...then]);
  assertEquals([copiedBytes, isSealed(stateFd), isSealed(memoryFd)], [0, true, true]);
  const config = {
    ...run.guest.config,
    name: "child",
    disks: [{ path: "/copy", serial: "1" }],
    plugged: { block1: { disk: { path: "/copy2" } } },
  };
  const { config: given, restore } = forkFrom([stateFd, memoryFd], config);
  assertEquals(given.disks[0].path, "/copy");
  assertEquals(restore.identity, "new");
  assertEquals(restore.snapshot.memoryFd, memoryFd);
  const { saved } = restore.snapshot;
  assertEquals(saved.plugged[0].device, { disk: { path: "/copy2" } });
  assertEquals([saved.memory.digests, saved.point], [undefined, run.guest.saved.point]);
  close(memoryFd);
});

test("what was plugged in has to be told of, or would be the other guest's", (run) => {
  const { stateFd, memoryFd } = good(run.end(run.begin()));
  const { config } = run.guest;
  const memory = inodeOf(memoryFd);
  const why = 'Cannot restore "block1": "plugged" does not say what it is now';
  assertThrows(() => forkFrom([stateFd, memoryFd], config), ConfigError, why);
  // Nothing is left open, though the number may be another test's by now.
  assert(inodeOf(memoryFd) !== memory);
});

/** Which file a descriptor is of; null if it is of none. */
function inodeOf(fd: number): number | null {
  try {
    return Deno.statSync(`/proc/self/fd/${fd}`).ino;
  } catch {
    return null;
  }
}

test("a guest that is held stands still until it is let go", (run) => {
  let isLet = false;
  run.held = () =>
    run.loop.after(60, () => {
      assertEquals(run.guest.log, ["hold", "freeze", "capture"]);
      assert(fork.isHolding);
      isLet = true;
      fork.go();
    });
  const fork = run.begin({ hold: true });
  const { stateFd, memoryFd, pausedMs } = good(run.end(fork));
  assert(isLet && pausedMs >= 60);
  [stateFd, memoryFd].forEach(close);
});

test("whenever it is given up, the guest goes on, once", (run) => {
  for (const mergeable of [false, true]) {
    for (let turns = 0; turns < 9; turns++) {
      run.guest.log.length = 0;
      const fork = run.begin({ mergeable });
      const later = (left: number) => {
        run.loop.after(0, () => left > 0 ? later(left - 1) : fork.cancel("it was told to"));
      };
      later(turns);
      const result = run.end(fork);
      const { log } = run.guest;
      assertEquals(log.filter((it) => it === "release").length, 1);
      // Only where RAM got another mapping, as the last before the guest goes on.
      const forgets = log.indexOf("forget what has changed");
      if (forgets >= 0) assertEquals(log.slice(forgets + 1), ["release"]);
      if (!(result instanceof Error)) [result.stateFd, result.memoryFd].forEach(close);
      else assertEquals(result.message, "Cannot fork: it was told to");
    }
  }
});

test("a guest that is given up while it is held is left with what is known of its changes", (run) => {
  for (const mergeable of [false, true]) {
    run.guest.log.length = 0;
    run.held = () => run.loop.after(0, () => fork.cancel("whoever asked has gone"));
    const fork = run.begin({ hold: true, mergeable });
    const { message } = run.end(fork) as Error;
    assertEquals(message, "Cannot fork: whoever asked has gone");
    assertEquals(run.guest.log, ["hold", "freeze", "capture", "release"]);
  }
});

test("a guest that cannot be forked is left as it is, with what is known of its changes", (run) => {
  const { guest, loop } = run;
  const pinned = ram(false);
  pinned.memory.pinned = true;
  const host = { held: () => {}, done: () => {} };
  const why = "Cannot fork the guest: its memory is pinned for a disk";
  assertThrows(() => new Fork(guest, { loop, ram: pinned, host }), Error, why);
  assertEquals(guest.log, []);
});

test("a device that cannot be at rest now, and a guest's own guest, are told of", (run) => {
  run.guest.freezes = () => {
    throw new Error("Cannot save requests that wait");
  };
  assertEquals((run.end(run.begin()) as Error).message, "Cannot save requests that wait");
  assertEquals(run.guest.log, ["hold", "release"]);
  run.guest.freezes = () => {};
  run.guest.saved.machine.vcpus[1].nested = Uint8Array.of(1, 0, 0, 0);
  assertEquals(
    (run.end(run.begin()) as Error).message,
    "Cannot fork the guest: its vCPU 1 runs a guest of its own",
  );
  assertEquals(run.guest.log.at(-1), "release");
});

Deno.test("what a configuration says of a device counts, else what was set meanwhile", () => {
  const { config } = savedGuest();
  const limit = { bytesPerSecond: 5 };
  const saved = {
    settings: {
      block0: { rateLimit: limit },
      net0: { linkUp: true, receiveLimit: limit },
      net1: { linkUp: true },
    },
    plugged: [{ name: "net1", slot: 0, device: { net: { tap: "t", mac: "m", linkUp: false } } }],
  };
  const nets = [{ tap: "tap0", mac: "52:54:00:00:00:01", linkUp: false }];
  assertEquals(settingsFor({ ...config, nets }, saved), {
    block0: { rateLimit: limit },
    net0: { linkUp: false, receiveLimit: limit },
    net1: { linkUp: false },
  });
});
