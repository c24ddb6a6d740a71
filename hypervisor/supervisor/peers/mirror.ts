/**
 * A running guest's disks, brought to another host: all that they have, then what was written since, until
 * that is little; and the rest while the guest stands still.
 *
 * @module
 */
import type { Piece, SourceFile } from "./disk_files.ts";
import type { DiskTracking } from "./disk_tracking.ts";
import { type SendingWay, sendPiece } from "./sending.ts";

/** Rounds end where the last one brought no more than this, in bytes: it fits into a pause. */
const SMALL_BYTES = 4 << 20;
const MOST_ROUNDS = 30;
/** Bytes between two turns of the event loop, however quickly they go. */
const TURN_BYTES = 8 << 20;

/** A disk, by its number among the files of the move. */
export interface MirroredDisk {
  number: number;
  /** The VMM's name for it; null where the running guest does not have it. */
  device: string | null;
  file: SourceFile;
  /** What the other host's file begins as; null where that is all holes. */
  base: SourceFile | null;
}

export interface MirrorOptions extends SendingWay {
  disks: readonly MirroredDisk[];
  tracking: DiskTracking;
  /** So many bytes went, and so many more than was thought are to go. */
  moved(bytes: number, more: number): void;
}

export class Mirror {
  readonly #options: MirrorOptions;
  #sinceTurn = 0;

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  /** Tracks, and brings all that is there now. */
  async begin(): Promise<void> {
    const { disks, tracking } = this.#options;
    if (this.#tracked.length > 0) await tracking.start();
    for (const { number, file, base } of disks) {
      if (base !== null) await this.#sendDifferences(number, file, base);
      else for (const piece of file.data()) await this.#send(number, piece);
    }
  }

  async #sendDifferences(number: number, file: SourceFile, base: SourceFile) {
    for (const { length, bytes, differences } of file.blocks(base)) {
      let same = length;
      for (const piece of differences) {
        await this.#send(number, piece);
        same -= piece.length;
      }
      await this.#options.touch.keep();
      await this.#passed(bytes === null ? 0 : same);
    }
  }

  get #tracked() {
    return this.#options.disks.filter(({ device }) => device !== null);
  }

  /** Brings what was written since, until that is little; false where it does not become so. */
  async catchUp(): Promise<boolean> {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      if (await this.round() <= SMALL_BYTES) return true;
    }
    return false;
  }

  /** Brings what was written since it was last asked; how many bytes that were. */
  async round(): Promise<number> {
    let sum = 0;
    for (const { number, device, file } of this.#tracked) {
      const ranges = await this.#options.tracking.changes(device!);
      const total = ranges.reduce((all, { length }) => all + length, 0);
      this.#options.moved(0, total);
      for (const range of ranges) {
        for (const piece of file.range(range)) await this.#send(number, piece);
      }
      sum += total;
    }
    return sum;
  }

  async #send(number: number, piece: Piece) {
    await sendPiece(this.#options, number, piece);
    await this.#passed(piece.length);
  }

  async #passed(length: number) {
    this.#options.signal.throwIfAborted();
    this.#options.moved(length, 0);
    this.#sinceTurn += length;
    if (this.#sinceTurn < TURN_BYTES) return;
    this.#sinceTurn = 0;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Tracks no more, where somebody is there to be told. */
  async end(): Promise<void> {
    if (this.#tracked.length > 0) await this.#options.tracking.stop().catch(() => {});
  }
}
