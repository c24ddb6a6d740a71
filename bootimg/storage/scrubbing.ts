/**
 * Comparing the two disks of a mirror: by the clock, or because somebody wants it.
 *
 * @module
 */
import type { Scrub } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { isWhole } from "./array.ts";
import type { Ground } from "./ground.ts";
import type { KeptScrub } from "./kept_scrub.ts";
import { arrayOf } from "./pool.ts";
import { isDue, nextScrub, SCRUB_SPEED_KIB } from "./scrub.ts";

export interface ScrubbingOptions {
  ground: Ground;
  /** Where it is kept when the last one was; null where nothing is kept. */
  file: { read(): KeptScrub | null; write(kept: KeptScrub): void } | null;
  timeZone: () => string;
  schedule: () => Scrub["schedule"];
  now?: () => number;
}

export class Scrubbing {
  readonly #options: ScrubbingOptions;
  readonly #now: () => number;
  #kept: KeptScrub;
  #isRunning = false;

  constructor(options: ScrubbingOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const kept = options.file?.read() ?? null;
    this.#kept = kept ?? { since: this.#time(), last: null };
    if (kept === null) this.#keep();
  }

  tell(): Scrub {
    const { timeZone, schedule } = this.#options;
    const isOn = schedule() === "monthly" && (this.#array()?.wanted ?? 1) > 1;
    return {
      schedule: schedule(),
      last: this.#kept.last,
      nextAt: isOn ? new Date(nextScrub(this.#last, this.#now(), timeZone())).toISOString() : null,
    };
  }

  /** Begins one that is due, and writes down what one that has ended has found. */
  watch(): void {
    const array = this.#array();
    if (array === null) return;
    const isRunning = array.sync?.kind === "scrub";
    if (this.#isRunning && array.sync === null && isWhole(array)) {
      this.#kept = {
        ...this.#kept,
        last: { at: this.#time(), mismatchedSectors: array.mismatchedSectors },
      };
      this.#keep();
    }
    // A rebuild is to be as quick as it can.
    if (this.#isRunning && !isRunning) {
      this.#options.ground.writeArrayFile("sync_speed_max", "system");
    }
    this.#isRunning = isRunning;
    const { timeZone, schedule } = this.#options;
    if (array.sync !== null || array.wanted < 2 || !isWhole(array)) return;
    if (schedule() === "monthly" && isDue(this.#last, this.#now(), timeZone())) this.turn(true);
  }

  /** Begins one, or ends it; returns why that is not possible. */
  turn(wanted: boolean): string | null {
    const { ground } = this.#options;
    const array = this.#array();
    if (array === null || array.wanted < 2) return "Cannot compare the disks: there is one alone";
    if (!wanted) {
      if (array.sync?.kind !== "scrub") return "Cannot end the comparison: none is under way";
      // What was not compared to its end has no result.
      this.#isRunning = false;
      ground.writeArrayFile("sync_action", "idle");
      ground.writeArrayFile("sync_speed_max", "system");
      return null;
    }
    if (array.sync !== null) return `Cannot compare the disks: a ${array.sync.kind} is under way`;
    if (!isWhole(array)) return "Cannot compare the disks: one of them is missing";
    ground.writeArrayFile("sync_speed_max", String(SCRUB_SPEED_KIB));
    ground.writeArrayFile("sync_action", "check");
    this.#isRunning = true;
    return null;
  }

  get #last(): number {
    return Date.parse(this.#kept.last?.at ?? this.#kept.since);
  }

  #array() {
    return arrayOf(this.#options.ground);
  }

  #time(): string {
    return new Date(this.#now()).toISOString();
  }

  #keep(): void {
    try {
      this.#options.file?.write(this.#kept);
    } catch {
      // It is due again after the next start, then.
    }
  }
}
