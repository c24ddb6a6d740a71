/**
 * How far a move is, for its task: bytes of disks and memory together, and points of the chart of memory.
 *
 * @module
 */
import type { Work } from "../lives/tasks.ts";
import type { SendProgress } from "./vmm_send.ts";

/** Between two points, in milliseconds. */
const POINT_MS = 200;

export class Chart {
  readonly #work: Pick<Work, "progress" | "point" | "sent">;
  readonly #now: () => number;
  #diskDone = 0;
  #diskTotal = 0;
  #memoryDone = 0;
  #memoryTotal = 0;
  #last: { at: number; done: number; remaining: number } | null = null;

  constructor(
    work: Pick<Work, "progress" | "point" | "sent">,
    now: () => number = () => performance.now(),
  ) {
    this.#work = work;
    this.#now = now;
  }

  /** So many bytes of disks are to go, by what is known. */
  begin(diskBytes: number): void {
    this.#diskTotal = diskBytes;
    this.#tell();
  }

  disks(done: number, more: number): void {
    this.#diskDone += done;
    this.#diskTotal = Math.max(this.#diskTotal + more, this.#diskDone);
    this.#tell();
  }

  memory({ doneBytes, totalBytes, remainingBytes, wireBytes }: SendProgress): void {
    if (wireBytes !== undefined) this.#work.sent(doneBytes, wireBytes);
    this.#memoryDone = doneBytes;
    this.#memoryTotal = Math.max(totalBytes, doneBytes);
    this.#tell();
    const now = this.#now();
    const last = this.#last;
    if (last === null) {
      this.#last = { at: now, done: doneBytes, remaining: remainingBytes };
      return;
    }
    const seconds = (now - last.at) / 1000;
    if (seconds * 1000 < POINT_MS) return;
    const done = Math.max(0, doneBytes - last.done);
    // What is left has become less by what went, and more by what the guest changed.
    const changed = Math.max(0, remainingBytes - last.remaining + done);
    this.#work.point({
      remainingBytes,
      bytesPerSecond: Math.round(done / seconds),
      changedBytesPerSecond: Math.round(changed / seconds),
    });
    this.#last = { at: now, done: doneBytes, remaining: remainingBytes };
  }

  #tell() {
    this.#work.progress(
      this.#diskDone + this.#memoryDone,
      this.#diskTotal + this.#memoryTotal,
    );
  }
}
