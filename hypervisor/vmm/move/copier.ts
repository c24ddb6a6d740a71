/**
 * Copies a guest's memory while the guest changes it: all of it once, then again and again what has
 * changed meanwhile, until so little is left that the guest can be stopped for the rest.
 *
 * @module
 */
import { DIRTY_PAGE_BYTES, type DirtyPages } from "../../machine/dirty_pages.ts";
import type { PieceVisitor, RamImage } from "./ram_image.ts";
import type { RamSink } from "./sink.ts";

/** A round that leaves more than this part of what the one before left has not got on. */
const SHRINKS = 0.9;
/**
 * What fits the pause is sent while the guest still runs, if it is as much as this and there is less than
 * half of it each time; but so often only.
 */
const SHORTENS = { bytes: 256 * 2 ** 10, by: 0.5, rounds: 4 };
/** After so many rounds, a guest of which the rest may follow is not waited for any longer. */
const ROUNDS_BEFORE_FOLLOWING = 8;
/** What is sent in less time says nothing about how fast it goes, in milliseconds. */
const SHORTEST_MS = 10;
/** Zeros cost little to pass on, but take time to find: a look at the time after so many bytes. */
const LOOK_BYTES = 64 * 2 ** 20;

/** Where changes come from: `vmm/dirty_tracking.ts`. */
export interface Changes {
  collect(into: DirtyPages): void;
  giveBack(pages: DirtyPages): void;
}

/** What somebody else is told, and may want. */
export interface CopyControl {
  /** Milliseconds that the last round may take; it may be changed at any time. */
  readonly allowedPauseMs: number;
  /** True once the guest is stopped and its devices hold nothing: the next round is the last. */
  readonly isFinishing: boolean;
  /**
   * Called often, with the bytes of memory that were sent until now and those that this took: throws to cancel,
   * and waits where these are too many, unless the guest is stopped and waits itself.
   */
  pace(sentBytes: number, wireBytes: number): void;
  /** A round begins. */
  round(progress: RoundProgress): void;
  /** Whether what the last round has left may go to the sink as what follows in another way. */
  readonly mayFollow?: boolean;
  /** The rest fits the pause, or may follow, or nothing is left: returns once {@linkcode isFinishing} is true. */
  ready(): void;
  /** The guest changes its memory as fast as it is sent; how many rounds in a row. */
  stalled(rounds: number): void;
}

export interface RoundProgress {
  number: number;
  /** Bytes of pages that are to be sent in it. */
  bytes: number;
  /** What the guest changed in the time since the round before began. */
  changedBytesPerSecond: number;
  /** What goes through while nothing holds it back; 0 while that is not known. */
  bytesPerSecond: number;
}

export interface CopyOptions {
  image: RamImage;
  sink: RamSink;
  /** Without, memory is copied in one round, by a guest that stands still from {@linkcode CopyControl.ready} on. */
  changes?: Changes;
  control: CopyControl;
  /** Two empty sets for this memory. */
  sets: readonly [DirtyPages, DirtyPages];
  /** False where the sink has an earlier copy and only what has changed since is wanted. */
  full: boolean;
  /** The time, in milliseconds. */
  now?: () => number;
}

export class RamCopier {
  readonly #o: CopyOptions;
  readonly #pending: DirtyPages;
  /** Everything that was taken from the changes. */
  readonly #taken: DirtyPages;
  readonly #now: () => number;
  readonly #visitor: PieceVisitor;
  #round = 0;
  #bytesPerSecond = 0;
  /** Milliseconds that were spent waiting on purpose. */
  #heldMs = 0;
  #sinceLook = 0;

  constructor(options: CopyOptions) {
    this.#o = options;
    [this.#pending, this.#taken] = options.sets;
    this.#now = options.now ?? (() => performance.now());
    const { sink } = options;
    this.#visitor = {
      data: (offset, length) => {
        sink.data(offset, length);
        this.#sinceLook += length;
        if (this.#sinceLook >= sink.mostBytes) this.#pace();
      },
      zero: (offset, length) => sink.zero(offset, length),
    };
  }

  /**
   * Returns once all is told to the sink as it was when the last round began. Where it throws, changes
   * that it took count as such again.
   */
  run(): void {
    try {
      this.#copy();
    } catch (error) {
      this.giveBack();
      throw error;
    }
  }

  /** Makes all that was taken count as changed again: the copy that has it is worth nothing. */
  giveBack(): void {
    this.#taken.merge(this.#pending);
    this.#o.changes?.giveBack(this.#taken);
  }

  #copy(): void {
    const { changes } = this.#o;
    if (changes === undefined) this.#copyStill();
    else this.#copyRunning(changes);
    this.#o.sink.end();
  }

  #copyStill(): void {
    const { control, image } = this.#o;
    control.ready();
    image.present(this.#pending);
    this.#sendLast(0);
  }

  #copyRunning(changes: Changes): void {
    const { control, image } = this.#o;
    let began = this.#now();
    if (this.#o.full) {
      // First, so that what changes while pages are looked for and read is told in the next round. None of
      // it is needed here, but an earlier copy may still be brought up to date by it if this one fails.
      changes.collect(this.#taken);
      image.present(this.#pending);
    } else {
      changes.collect(this.#pending);
    }
    let stalled = 0;
    let shortened = 0;
    let changedBytesPerSecond = 0;
    for (let isLast = false;;) {
      if (isLast) return this.#sendLast(changedBytesPerSecond);
      const bytes = this.#send(changedBytesPerSecond);
      // Asked before the changes are taken: those of a guest that is stopped are all.
      isLast = control.isFinishing;
      const now = this.#now();
      changes.collect(this.#pending);
      const left = this.#pending.count * DIRTY_PAGE_BYTES;
      changedBytesPerSecond = left / Math.max(1, now - began) * 1000;
      began = now;
      if (isLast) continue;
      if (this.#fits(left)) {
        const shrinks = left >= SHORTENS.bytes && left < bytes * SHORTENS.by;
        if (shrinks && shortened++ < SHORTENS.rounds) continue;
        control.ready();
        changes.collect(this.#pending);
        isLast = true;
      } else {
        if (left > SHRINKS * bytes) control.stalled(++stalled);
        else stalled = 0;
        if (!control.mayFollow) continue;
        if (stalled === 0 && this.#round < ROUNDS_BEFORE_FOLLOWING) continue;
        control.ready();
        changes.collect(this.#pending);
        isLast = true;
      }
    }
  }

  /** Of a guest that stands still: all that is pending, or word that it follows. */
  #sendLast(changedBytesPerSecond: number): void {
    const { control, sink } = this.#o;
    const pending = this.#pending;
    if (!control.mayFollow || sink.follow === undefined || this.#fitsNow()) {
      this.#send(changedBytesPerSecond);
      return;
    }
    this.#taken.merge(pending);
    sink.follow(pending);
  }

  #fitsNow(): boolean {
    return this.#fits(this.#pending.count * DIRTY_PAGE_BYTES);
  }

  #fits(bytes: number): boolean {
    if (bytes === 0) return true;
    return bytes <= this.#bytesPerSecond * this.#o.control.allowedPauseMs / 1000;
  }

  /** Sends what is pending; how many bytes of pages that was. */
  #send(changedBytesPerSecond: number): number {
    const { control, image, sink } = this.#o;
    const pending = this.#pending;
    this.#taken.merge(pending);
    const bytes = pending.count * DIRTY_PAGE_BYTES;
    const number = this.#round++;
    const bytesPerSecond = this.#bytesPerSecond;
    control.round({ number, bytes, changedBytesPerSecond, bytesPerSecond });
    sink.round(number, bytes);
    image.refresh();
    const began = this.#now();
    const heldMs = this.#heldMs;
    const runs = pending.runs();
    while (runs.next()) this.#sendRun(runs.offset, runs.length);
    sink.flush();
    this.#pace();
    pending.clear();
    const ms = this.#now() - began - (this.#heldMs - heldMs);
    // Rounds are of the same kind of pages, but for the first, in which many are zeros.
    this.#measured(number === 0 ? sink.sentBytes : bytes, ms);
    return bytes;
  }

  #measured(bytes: number, ms: number): void {
    if (ms >= SHORTEST_MS) this.#bytesPerSecond = bytes / ms * 1000;
    // So little that it took no time is no reason to think that it goes slower.
    else this.#bytesPerSecond = Math.max(this.#bytesPerSecond, bytes / SHORTEST_MS * 1000);
  }

  #sendRun(offset: number, length: number): void {
    const { image, sink } = this.#o;
    const end = offset + length;
    for (let at = offset; at < end; at += LOOK_BYTES) {
      const part = { offset: at, length: Math.min(LOOK_BYTES, end - at) };
      image.pieces(part, this.#visitor, sink.mostBytes);
      if (length >= LOOK_BYTES) this.#pace();
    }
  }

  #pace(): void {
    this.#sinceLook = 0;
    const began = this.#now();
    const { control, sink } = this.#o;
    control.pace(sink.sentBytes, sink.wireBytes);
    this.#heldMs += this.#now() - began;
  }
}
