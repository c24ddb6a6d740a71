/**
 * Which saves there were of a guest's run, and since which of them its changes are known.
 *
 * @module
 */
import { DirtyPages } from "../../machine/dirty_pages.ts";
import type { TrackingSpec } from "../dirty_tracking.ts";
import type { RunPoint } from "./saved_guest.ts";

const RUN_BYTES = 16;

/** As `dirty_tracking.ts` has it. */
export interface Tracking {
  /** Undefined while nothing is tracked. */
  readonly spec: TrackingSpec | undefined;
  start(): TrackingSpec;
  stop(): void;
}

/** What somebody who copies memory while the guest runs has to know. */
export interface Begun {
  point: RunPoint;
  /** Undefined where the guest has to stand still, for the reason `why`. */
  tracking?: TrackingSpec;
  why?: string;
}

export class SaveHistory {
  /** Random, so that no save of another run can be taken for one of this. */
  readonly #run = crypto.getRandomValues(new Uint8Array(RUN_BYTES)).toHex();
  readonly #tracking: Tracking;
  #sequence = 0;
  /** The save since which all changes are known; undefined while there is none. */
  #base: number | undefined;

  constructor(tracking: Tracking) {
    this.#tracking = tracking;
  }

  /** Throws where it is not known what has changed since that save. */
  check(base: RunPoint): void {
    const refuse = (why: string) => new Error(`Cannot save what has changed: ${why}`);
    if (base.run !== this.#run) throw refuse("the base is of another run");
    if (this.#base === undefined) throw refuse("changes are not tracked since the base was saved");
    if (base.sequence !== this.#base) {
      throw refuse(
        `changes are tracked since save ${this.#base} of this run, and the base is ${base.sequence}`,
      );
    }
  }

  /** The point of a copy for which no changes have to be known. */
  next(): RunPoint {
    return { run: this.#run, sequence: ++this.#sequence };
  }

  /** A copy begins; it is over with {@linkcode succeeded} or {@linkcode failed}. */
  begin(): Begun {
    const point = this.next();
    try {
      return { point, tracking: this.#tracking.spec ?? this.#tracking.start() };
    } catch (error) {
      return { point, why: (error as Error).message };
    }
  }

  /** It stands; with `track` what changes from its instant on will be known. */
  succeeded({ sequence }: RunPoint, options: { track: boolean }): void {
    if (options.track && this.#tracking.spec !== undefined) this.#base = sequence;
    else this.forget();
  }

  /** It does not: the base before is as good as it was, with changes that were taken for nothing. */
  failed(taken?: DirtyPages): void {
    const { spec } = this.#tracking;
    if (this.#base === undefined || spec === undefined) return this.forget();
    if (taken !== undefined) new DirtyPages(spec.changes).merge(taken);
  }

  /** What changes is not known any more: no save is a base. */
  forget(): void {
    this.#base = undefined;
    this.#tracking.stop();
  }
}
