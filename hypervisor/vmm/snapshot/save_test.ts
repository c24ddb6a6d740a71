import { assert, assertEquals, assertThrows } from "@std/assert";
import { EventLoop } from "../event_loop.ts";
import { Folder } from "../testing/vmm_process.ts";
import { verifySnapshot } from "./directory.ts";
import { type SavableGuest, Save, type SaveOptions, type SaveProgress } from "./save.ts";
import { savedGuest } from "./testing/saved_guest.ts";

const BYTES = 32 << 20;

/** A guest that does as it is told, and what was asked of it. */
class FakeGuest implements SavableGuest {
  readonly log: string[] = [];
  readonly bytes = new Uint8Array(BYTES);
  readonly #saved = savedGuest();
  isParked = true;
  freezes: () => void = () => {};

  readonly config = this.#saved.config;
  readonly plugged = this.#saved.plugged;
  readonly settings = this.#saved.settings;
  readonly ram = { bytes: this.bytes, ranges: () => [{ start: 0, end: BYTES }] };

  hold(): void {
    this.log.push("hold");
  }

  freeze(): void {
    this.freezes();
    this.log.push("freeze");
  }

  capture() {
    this.log.push("capture");
    return this.#saved.machine;
  }

  release(): void {
    this.log.push("release");
  }

  stay(): void {
    this.log.push("stay");
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
  held: () => void;
  /** Undefined while it is not over, null where it went well. */
  error: Error | null | undefined;
}

function test(name: string, body: (run: Run) => void): void {
  Deno.test(name, () => {
    using folder = new Folder();
    const directory = `${folder.path}/snapshot`;
    const loop = new EventLoop();
    const guest = new FakeGuest();
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
            held: () => run.held(),
            done: (error) => run.error = error ?? null,
          },
        });
      },
      end: (save) => loop.run(() => save.isOver),
      phases: [],
      held: () => {},
      error: undefined,
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
  assertEquals(new Set(run.phases.map(({ phase }) => phase)).size, 3);
});

test("nothing is taken before the last vCPU has left the guest", (run) => {
  run.guest.isParked = false;
  const save = run.begin();
  run.loop.after(30, () => {
    assertEquals(run.guest.log, ["hold"]);
    run.guest.isParked = true;
    save.look();
  });
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

test("a guest that is to stay so is left as it is", (run) => {
  run.end(run.begin({ stay: true }));
  assertEquals(run.error, null);
  assertEquals(run.guest.log, ["hold", "freeze", "capture", "stay"]);
});

test("whenever it is given up, the guest goes on once and nothing is left", (run) => {
  for (const stay of [false, true]) {
    for (let turns = 0; turns < 12; turns++) {
      run.guest.log.length = 0;
      run.error = undefined;
      const save = run.begin({ stay });
      const later = (left: number) => {
        run.loop.after(0, () => left > 0 ? later(left - 1) : save.cancel("it was told to"));
      };
      later(turns);
      run.end(save);
      if (run.error === null) {
        Deno.removeSync(run.directory, { recursive: true });
        continue;
      }
      assertEquals(run.error!.message, "Cannot save: it was told to");
      assertEquals(run.guest.log.filter((it) => it === "release").length, 1);
      assertEquals(run.folder.names(), []);
    }
  }
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
