import { assert, assertEquals, assertThrows } from "@std/assert";
import { EventLoop } from "../event_loop.ts";
import { MovedMemory } from "../move/testing/memory.ts";
import { Folder } from "../testing/vmm_process.ts";
import { verifySnapshot } from "./directory.ts";
import { SaveHistory } from "./history.ts";
import { Save } from "./save.ts";
import type { CopyFigures, SavableGuest, SaveOptions, SaveProgress } from "./saving.ts";
import { savedGuest } from "./testing/saved_guest.ts";

const BYTES = 32 << 20;

/** A guest that does as it is told, and what was asked of it. Its changes cannot be tracked. */
class FakeGuest implements SavableGuest, Disposable {
  readonly log: string[] = [];
  readonly #memory = new MovedMemory({ length: BYTES });
  readonly history = new SaveHistory({
    spec: undefined,
    start() {
      throw new Error("Cannot log anything here");
    },
    stop() {},
  });
  readonly #saved = savedGuest();
  isParked = true;
  freezes: () => void = () => {};

  readonly config = this.#saved.config;
  readonly plugged = this.#saved.plugged;
  readonly settings = this.#saved.settings;
  readonly bytes = this.#memory.bytes;
  readonly memory = this.#memory.spec;

  hold(): void {
    this.log.push("hold");
  }

  freeze(): void {
    this.freezes();
    this.log.push("freeze");
  }

  rehearse() {
    return this.#saved.machine;
  }

  capture(untouched?: () => void) {
    this.log.push("capture");
    untouched?.();
    return this.#saved.machine;
  }

  release(): void {
    this.log.push("release");
  }

  stay(): void {
    this.log.push("stay");
  }

  slow(): void {}

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

interface Run {
  loop: EventLoop;
  guest: FakeGuest;
  directory: string;
  folder: Folder;
  begin(options?: Partial<SaveOptions>): Save;
  /** Goes round until it is over. */
  end(save: Save): void;
  phases: SaveProgress[];
  progress: (progress: SaveProgress) => void;
  ready: () => void;
  held: () => void;
  /** Undefined while it is not over, null where it went well. */
  error: Error | null | undefined;
  result: CopyFigures | undefined;
}

function test(name: string, body: (run: Run) => void): void {
  Deno.test(name, () => {
    using folder = new Folder();
    const directory = `${folder.path}/snapshot`;
    const loop = new EventLoop();
    using guest = new FakeGuest();
    guest.bytes.fill(7, 5 << 20, 6 << 20);
    const run: Run = {
      ...{ loop, guest, directory, folder },
      progress: (progress) => void run.phases.push(progress),
      begin(options = {}) {
        return new Save(guest, {
          ...{ directory, loop },
          ...options,
          host: {
            progress: (progress) => run.progress(progress),
            ready: () => run.ready(),
            held: () => run.held(),
            done(error, result) {
              run.error = error ?? null;
              run.result = result;
            },
          },
        });
      },
      end: (save) => loop.run(() => save.isOver),
      phases: [],
      ready: () => {},
      held: () => {},
      error: undefined,
      result: undefined,
    };
    body(run);
  });
}

test("a save takes all at one instant, lets the guest go on, and is whole", (run) => {
  run.end(run.begin());
  assertEquals(run.error, null);
  assertEquals(run.guest.log, ["hold", "freeze", "capture", "release"]);
  assertEquals(run.folder.names(), ["snapshot"]);
  const saved = verifySnapshot(run.directory);
  assertEquals(saved.config, run.guest.config);
  assertEquals(Deno.readFileSync(`${run.directory}/memory`)[5 << 20], 7);
  const { pauseMs, rounds, bytes, stoodStill } = run.result!;
  assertEquals([rounds, bytes, stoodStill], [1, 1 << 20, "Cannot log anything here"]);
  assert(pauseMs > 0);
});

/** Calls `then` once the guest was asked for so much. */
function when(run: Run, asked: number, then: () => void): void {
  run.loop.after(1, () => run.guest.log.length >= asked ? then() : when(run, asked, then));
}

test("nothing is taken before the last vCPU has left the guest", (run) => {
  run.guest.isParked = false;
  const save = run.begin();
  when(run, 1, () =>
    run.loop.after(30, () => {
      assertEquals(run.guest.log, ["hold"]);
      run.guest.isParked = true;
      save.look();
    }));
  run.end(save);
  assertEquals(run.error, null);
});

test("a guest that is held stands still until it is let go", (run) => {
  let isLet = false;
  run.held = () => {
    assertEquals(run.guest.log, ["hold", "freeze", "capture"]);
    run.loop.after(60, () => {
      assertEquals(run.guest.log, ["hold", "freeze", "capture"]);
      assert(save.isHolding);
      isLet = true;
      save.go();
    });
  };
  const save = run.begin({ hold: true });
  run.end(save);
  assert(isLet);
  assertEquals(run.error, null);
});

test("a guest whose caller wants to be asked is stopped when that says so, and then held", (run) => {
  const told: string[] = [];
  run.ready = () => {
    told.push("ready");
    assertEquals(run.guest.log, []);
    run.loop.after(60, () => {
      assertEquals(run.guest.log, []);
      assertEquals(save.isHolding, false);
      save.go();
    });
  };
  run.held = () => {
    told.push("held");
    run.loop.after(1, () => save.go());
  };
  const save = run.begin({ ask: true, hold: true });
  run.end(save);
  assertEquals(run.error, null);
  assertEquals(told, ["ready", "held"]);
  assertEquals(run.guest.log, ["hold", "freeze", "capture", "release"]);
});

test("a guest that waits to be stopped is never stopped where that is given up", (run) => {
  run.ready = () => void run.loop.after(1, () => save.cancel("it was told to"));
  const save = run.begin({ ask: true });
  run.end(save);
  assertEquals(run.error?.message, "Cannot save: it was told to");
  assertEquals(run.guest.log, []);
  assertEquals(run.folder.names(), []);
});

test("a guest that is to stay so is left as it is", (run) => {
  run.end(run.begin({ stay: true }));
  assertEquals(run.error, null);
  assertEquals(run.guest.log, ["hold", "freeze", "capture", "stay"]);
});

test("whenever it is given up, the guest goes on once and nothing is left", (run) => {
  for (const stay of [false, true]) {
    for (let ms = 0; ms < 120; ms += 12) {
      run.guest.log.length = 0;
      run.error = undefined;
      const save = run.begin({ stay });
      run.loop.after(ms, () => save.cancel("it was told to"));
      run.end(save);
      if (run.error === null) {
        Deno.removeSync(run.directory, { recursive: true });
        continue;
      }
      assertEquals(run.error!.message, "Cannot save: it was told to");
      const { log } = run.guest;
      const times = log.filter((it) => it === "release").length;
      assertEquals(times, log.includes("hold") ? 1 : 0);
      assertEquals(run.folder.names(), []);
    }
  }
});

test("how far it is is told, whatever waits", (run) => {
  run.guest.isParked = false;
  const save = run.begin();
  when(run, 1, () =>
    run.loop.after(250, () => {
      run.guest.isParked = true;
      save.look();
    }));
  run.end(save);
  assertEquals(run.error, null);
  assertEquals(run.phases[0].phase, "copying");
  assertEquals(run.phases[0].rounds, 0);
});

test("only what was saved by this run is a base", (run) => {
  run.end(run.begin({ track: true }));
  assertEquals(run.error, null);
  const other = `${run.directory}2`;
  const base = run.directory;
  assertThrows(
    () => run.begin({ directory: other, base }),
    Error,
    "Cannot save what has changed: changes are not tracked since the base was saved",
  );
  using another = new FakeGuest();
  const host = { progress: () => {}, ready: () => {}, held: () => {}, done: () => {} };
  assertThrows(
    () => new Save(another, { directory: other, base, loop: run.loop, host }),
    Error,
    "Cannot save what has changed: the base is of another run",
  );
  assertThrows(() => run.begin({ directory: other, base: "/none" }), Error, "/none");
  assertEquals(run.folder.names(), ["snapshot"]);
});

test("a device that cannot be saved now is told of, and the guest goes on", (run) => {
  run.guest.freezes = () => {
    throw new Error("Cannot save requests that wait");
  };
  run.end(run.begin());
  assertEquals(run.error?.message, "Cannot save requests that wait");
  assertEquals(run.guest.log, ["hold", "release"]);
  assertEquals(run.folder.names(), []);
});

test("where nothing can be written, nothing is asked of the guest", (run) => {
  assertThrows(() => run.begin({ directory: `${run.directory}/none/here` }));
  Deno.mkdirSync(run.directory);
  assertThrows(() => run.begin(), Error, "it exists");
  assertEquals(run.guest.log, []);
});

test("whoever gives it up on hearing how far it is has given it up for good", (run) => {
  for (const phase of ["copying", "digesting", "syncing"]) {
    for (const isLast of [false, true]) {
      run.guest.log.length = 0;
      run.error = undefined;
      const save: Save = run.begin({ stay: true });
      run.progress = (progress) => {
        const isEnd = progress.doneBytes === progress.totalBytes;
        if (progress.phase === phase && isEnd === isLast) save.cancel("its caller has gone");
      };
      run.end(save);
      let isLater = false;
      run.loop.after(20, () => isLater = true);
      run.loop.run(() => isLater);
      // What comes to its end at once tells nothing in between.
      const error = run.error as Error | null | undefined;
      if (error) {
        assertEquals(error.message, "Cannot save: its caller has gone");
        assertEquals(run.folder.names(), []);
      } else Deno.removeSync(run.directory, { recursive: true });
      assert(save.isOver);
    }
  }
});
