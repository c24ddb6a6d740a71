/**
 * VMMs that have started before there is anything to run, which is what takes a start longest. Each
 * waits in a directory of its own, which becomes the guest's when it is taken.
 *
 * @module
 */
import { join } from "@std/path";
import { isAlive, killProcess, type ProcessId } from "../../sys/processes.ts";
import { exists, removeIfThere } from "../durable.ts";
import { type Log, messageOf } from "../log.ts";
import type { VmmCommand } from "./vmm_process.ts";
import { spawnVmm } from "./vmm_start.ts";
import { ProcessFile, readMessage } from "./wire.ts";

/** A guest's start, or the host's own, has the processors to itself for so long. */
const REFILL_MS = 10_000;
/** After so many that ended by themselves, one after the other, no more are started. */
const MAX_FAILURES = 3;

export interface VmmPoolOptions {
  command: VmmCommand;
  /** Where they wait; its file system is that of guests' directories. */
  directory: string;
  /** How many wait; 0 for none. */
  size: number;
  log: Log;
  /** Instead of {@linkcode REFILL_MS}, for tests. */
  refillMs?: number;
}

interface Waiting {
  directory: string;
  id: ProcessId;
}

export class VmmPool {
  readonly #options: VmmPoolOptions;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #count = 0;
  #failures = 0;
  #isClosed = false;

  constructor(options: VmmPoolOptions) {
    this.#options = options;
    this.#sweep();
    this.#refillLater();
  }

  /** Those of a supervisor that is no more: nobody will tell them what to run. */
  #sweep(): void {
    const { directory } = this.#options;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const { name } of [...Deno.readDirSync(directory)]) {
      const path = join(directory, name);
      const id = readMessage(ProcessFile, join(path, "process.json"));
      if (id !== null) killProcess(id);
      removeIfThere(path);
    }
  }

  #refillLater(): void {
    clearTimeout(this.#timer);
    if (this.#options.size === 0 || this.#isClosed) return;
    this.#timer = setTimeout(() => this.#refill(), this.#options.refillMs ?? REFILL_MS);
  }

  #refill(): void {
    const ended = this.#waiting.filter(({ id }) => !isAlive(id));
    for (const { directory } of ended) removeIfThere(directory);
    this.#waiting = this.#waiting.filter((one) => !ended.includes(one));
    this.#failures += ended.length;
    if (this.#failures >= MAX_FAILURES) {
      // Every guest's own start will say what is wrong.
      return this.#options.log("warn", "VMMs that wait end by themselves: no more are started", {});
    }
    try {
      while (this.#waiting.length < this.#options.size) this.#waiting.push(this.#start());
    } catch (error) {
      this.#options.log("warn", "cannot start a VMM in advance", { error: messageOf(error) });
    }
  }

  #start(): Waiting {
    const directory = join(this.#options.directory, `${++this.#count}`);
    Deno.mkdirSync(directory, { mode: 0o700 });
    return { directory, id: spawnVmm(directory, this.#options.command) };
  }

  /** A VMM that waits, in what is now `directory`; null where there is none. */
  take(directory: string): ProcessId | null {
    this.#refillLater();
    const isReady = ({ directory, id }: Waiting) =>
      isAlive(id) && exists(join(directory, "control.sock"));
    const at = this.#waiting.findIndex(isReady);
    if (at < 0) return null;
    const [one] = this.#waiting.splice(at, 1);
    this.#failures = 0;
    try {
      Deno.renameSync(one.directory, directory);
      return one.id;
    } catch (error) {
      this.#options.log("warn", "cannot use a VMM that waited", { error: messageOf(error) });
      killProcess(one.id);
      removeIfThere(one.directory);
      return null;
    }
  }

  /** Ends those that wait. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const { directory, id } of this.#waiting.splice(0)) {
      killProcess(id);
      removeIfThere(directory);
    }
  }
}
