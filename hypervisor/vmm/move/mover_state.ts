/**
 * What the mover's thread and the main thread tell each other: words that either may look at at any time.
 * Who has to be woken is: the main thread by an eventfd, the mover by the word that it waits at, and by an
 * eventfd where it waits for a stream.
 *
 * @module
 */

/** How far the mover has got. */
export const PHASES = [
  /** Its thread does not run yet. */
  "starting",
  /** It copies memory in use, or receives it. */
  "moving",
  /** What is left fits the pause that it may take: it waits for `finish`. */
  "ready",
  /** The guest is stopped for the last round. */
  "finishing",
  /** Memory is no longer looked at: the guest may go on. What was copied is being made to last. */
  "copied",
  "done",
  "cancelled",
  "failed",
] as const;
export type MoverPhase = typeof PHASES[number];

export interface MoverProgress {
  phase: MoverPhase;
  /** Passes over memory that have begun. */
  rounds: number;
  /** Rounds that left about as much as they sent: in a row, and all. */
  stalledRounds: number;
  stalls: number;
  /** Bytes of data that were written, sent or received. */
  movedBytes: number;
  /** Bytes that it took to write or send them: fewer where they were packed. */
  wireBytes: number;
  /** Bytes of pages at most that are left of the round which began last. */
  remainingBytes: number;
  /** What the guest changes. */
  changedBytesPerSecond: number;
  /** What goes through while nothing holds it back; 0 while that is not known. */
  bytesPerSecond: number;
}

const COMMAND = 0;
const PHASE = 1;
const ROUNDS = 2;
const STALLED = 3;
const STALLS = 4;
const MESSAGE_LENGTH = 5;
const IS_OVER = 6;
const MAY_FOLLOW = 7;
const WORDS = 16;

// Doubles, which x86-64 stores and loads at once where they are aligned.
const MOVED = 0;
const REMAINING = 1;
const CHANGED = 2;
const RATE = 3;
const LIMIT = 4;
const PAUSE_MS = 5;
/** {@linkcode MOVED} when the round began. */
const MOVED_BEFORE = 6;
const WIRE = 7;
const NUMBERS = 16;

const MAX_MESSAGE = 1024;

const GO_ON = 0;
const FINISH = 1;
const CANCEL = 2;

export class MoverState {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #numbers: Float64Array<SharedArrayBuffer>;
  readonly #message: Uint8Array<SharedArrayBuffer>;

  constructor(buffer = new SharedArrayBuffer(4 * WORDS + 8 * NUMBERS + MAX_MESSAGE)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.#numbers = new Float64Array(buffer, 4 * WORDS, NUMBERS);
    this.#message = new Uint8Array(buffer, 4 * WORDS + 8 * NUMBERS, MAX_MESSAGE);
  }

  // By the main thread.

  /** The last round, please; one that is cancelled stays so. */
  finish(): void {
    Atomics.compareExchange(this.#words, COMMAND, GO_ON, FINISH);
    Atomics.notify(this.#words, COMMAND);
  }

  cancel(): void {
    Atomics.store(this.#words, COMMAND, CANCEL);
    Atomics.notify(this.#words, COMMAND);
  }

  /** Returns once it is in another phase than this, or after so many milliseconds. */
  awaitChange(phase: MoverPhase, ms: number): void {
    Atomics.wait(this.#words, PHASE, PHASES.indexOf(phase), ms);
  }

  /** Returns once the mover has left: in a moment, once it has said how it ended. */
  awaitLeave(): void {
    Atomics.wait(this.#words, IS_OVER, 0);
  }

  // By either.

  get phase(): MoverPhase {
    return PHASES[Atomics.load(this.#words, PHASE)];
  }

  /** Bytes a second, as they go; 0 for as many as there can be. */
  get limit(): number {
    return this.#numbers[LIMIT];
  }

  set limit(bytesPerSecond: number) {
    this.#numbers[LIMIT] = bytesPerSecond;
  }

  /** What the last round may take, in milliseconds. */
  get allowedPauseMs(): number {
    return this.#numbers[PAUSE_MS];
  }

  set allowedPauseMs(ms: number) {
    this.#numbers[PAUSE_MS] = ms;
  }

  get isFinishing(): boolean {
    return Atomics.load(this.#words, COMMAND) === FINISH;
  }

  get isCancelled(): boolean {
    return Atomics.load(this.#words, COMMAND) === CANCEL;
  }

  get progress(): MoverProgress {
    const numbers = this.#numbers;
    return {
      phase: this.phase,
      rounds: Atomics.load(this.#words, ROUNDS),
      stalledRounds: Atomics.load(this.#words, STALLED),
      stalls: Atomics.load(this.#words, STALLS),
      movedBytes: numbers[MOVED],
      wireBytes: numbers[WIRE],
      remainingBytes: Math.max(0, numbers[REMAINING] - (numbers[MOVED] - numbers[MOVED_BEFORE])),
      changedBytesPerSecond: numbers[CHANGED],
      bytesPerSecond: numbers[RATE],
    };
  }

  /** Whether the rest of memory may follow in another way, where it does not get less. */
  get mayFollow(): boolean {
    return Atomics.load(this.#words, MAY_FOLLOW) === 1;
  }

  set mayFollow(may: boolean) {
    Atomics.store(this.#words, MAY_FOLLOW, may ? 1 : 0);
  }

  /** Why it failed. */
  get message(): string {
    const length = Atomics.load(this.#words, MESSAGE_LENGTH);
    return new TextDecoder().decode(this.#message.slice(0, length));
  }

  // By the mover.

  enter(phase: MoverPhase): void {
    Atomics.store(this.#words, PHASE, PHASES.indexOf(phase));
    Atomics.notify(this.#words, PHASE);
  }

  set movedBytes(bytes: number) {
    this.#numbers[MOVED] = bytes;
  }

  set wireBytes(bytes: number) {
    this.#numbers[WIRE] = bytes;
  }

  stalled(rounds: number): void {
    Atomics.store(this.#words, STALLED, rounds);
    Atomics.add(this.#words, STALLS, 1);
  }

  /** The last that it does: it uses no descriptor any more. */
  leave(): void {
    Atomics.store(this.#words, IS_OVER, 1);
    Atomics.notify(this.#words, IS_OVER);
  }

  round(
    number: number,
    rest: { bytes: number; changedBytesPerSecond: number; bytesPerSecond: number },
  ): void {
    this.#numbers[REMAINING] = rest.bytes;
    this.#numbers[MOVED_BEFORE] = this.#numbers[MOVED];
    this.#numbers[CHANGED] = rest.changedBytesPerSecond;
    this.#numbers[RATE] = rest.bytesPerSecond;
    Atomics.store(this.#words, ROUNDS, number + 1);
  }

  fail(message: string): void {
    const bytes = new TextEncoder().encode(message).subarray(0, MAX_MESSAGE);
    this.#message.set(bytes);
    Atomics.store(this.#words, MESSAGE_LENGTH, bytes.length);
    this.enter("failed");
  }

  /** Waits until there is a command, or for so long. */
  wait(ms: number = Infinity): void {
    Atomics.wait(this.#words, COMMAND, GO_ON, ms);
  }
}
