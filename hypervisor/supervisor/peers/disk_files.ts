/**
 * A guest's disks as files, read where they have data and written where they come to: at a position, and
 * with their holes.
 *
 * @module
 */
import { ALLOCATE, fallocate } from "../../sys/fallocate.ts";
import { close, length, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { setLength } from "../../sys/fallocate.ts";
import { readAt, writeAt } from "../../sys/positioned_io.ts";
import { nextData } from "../../sys/sparse.ts";
import { MAX_DATA_BYTES, PeerError } from "./frames.ts";

/** The unit in which stat tells what a file takes. */
const BLOCK_BYTES = 512;

/** A piece of a file: its bytes, or that there are only zeros. */
export interface Piece {
  position: number;
  length: number;
  /** Valid until the next piece; null for zeros. */
  bytes: Uint8Array<ArrayBuffer> | null;
}

/** A file that is read while a guest may write to it. */
export class SourceFile implements Disposable {
  readonly bytes: number;
  /** About what of it is not a hole. */
  readonly dataBytes: number;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(MAX_DATA_BYTES);

  constructor(path: string) {
    this.#fd = open(path, O_RDONLY);
    this.bytes = length(this.#fd);
    this.dataBytes = Math.min(this.bytes, (Deno.statSync(path).blocks ?? 0) * BLOCK_BYTES);
  }

  /** All that is not a hole or zeros. */
  *data(): Generator<Piece> {
    let at = 0;
    for (let data = nextData(this.#fd, at, this.bytes); data;) {
      for (const piece of this.#pieces(data.start, data.end)) if (piece.bytes) yield piece;
      at = data.end;
      data = nextData(this.#fd, at, this.bytes);
    }
  }

  /** What a range has now, whatever that is. */
  range({ position, length }: { position: number; length: number }): Generator<Piece> {
    return this.#pieces(position, Math.min(this.bytes, position + length));
  }

  *#pieces(from: number, to: number): Generator<Piece> {
    for (let at = from; at < to;) {
      const part = this.#buffer.subarray(0, Math.min(MAX_DATA_BYTES, to - at));
      const count = readAt(this.#fd, part, at);
      if (count === 0) return;
      const bytes = part.subarray(0, count);
      yield { position: at, length: count, bytes: isZero(bytes) ? null : bytes };
      at += count;
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

/** Whether there are only zeros. */
export function isZero(bytes: Uint8Array<ArrayBuffer>): boolean {
  const whole = bytes.length & ~3;
  // Pieces begin where the buffer does, so words are aligned.
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, whole / 4);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  for (let i = whole; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** A file that comes from another host, which may say anything. */
export class TargetFile implements Disposable {
  readonly #fd: number;
  readonly #bytes: number;
  #isOpen = true;

  /** Makes the file, all holes. */
  constructor(path: string, bytes: number) {
    this.#fd = open(path, O_RDWR | O_CREAT | O_EXCL);
    this.#bytes = bytes;
    setLength(this.#fd, bytes);
  }

  write(position: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#check(position, bytes.length);
    writeAt(this.#fd, bytes, position);
  }

  zero(position: number, length: number): void {
    this.#check(position, length);
    if (length === 0) return;
    const mode = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
    if (fallocate(this.#fd, mode, { position, length }) === 0) return;
    const zeros = new Uint8Array(Math.min(length, MAX_DATA_BYTES));
    for (let done = 0; done < length; done += zeros.length) {
      writeAt(this.#fd, zeros.subarray(0, Math.min(zeros.length, length - done)), position + done);
    }
  }

  #check(position: number, length: number) {
    if (position + length <= this.#bytes) return;
    throw new PeerError(
      `Cannot understand the other host: ${length} bytes at ${position} of a file of ${this.#bytes}`,
    );
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    close(this.#fd);
  }
}
