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
import { shareBlocks } from "../../sys/reflink.ts";
import { dataFrom, nextData } from "../../sys/sparse.ts";
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

/** A part of a file where it, or what it is compared with, has data. */
export interface Block extends Piece {
  /** What of it is otherwise in the other file; all that is not zeros where there is no other. */
  differences: Piece[];
}

/** Blocks are of this many bytes, and begin at its multiples. */
export const BLOCK = MAX_DATA_BYTES;
/** What differs in a block is told in parts of this many bytes. */
const PART = 64 * 1024;

/** A file that is read while a guest may write to it. */
export class SourceFile implements Disposable {
  readonly bytes: number;
  /** About what of it is not a hole. */
  readonly dataBytes: number;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(MAX_DATA_BYTES);
  #isOpen = true;

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

  /** All blocks with data in this file or in `base`, in order, each read once. */
  *blocks(base?: SourceFile): Generator<Block> {
    for (let at = 0; at < this.bytes;) {
      const other = base === undefined ? Infinity : base.#dataFrom(at);
      const next = Math.min(this.#dataFrom(at), other);
      if (next >= this.bytes) return;
      const position = next - next % BLOCK;
      const [piece] = this.#pieces(position, Math.min(this.bytes, position + BLOCK));
      if (piece === undefined) return;
      yield { ...piece, differences: base ? this.#differences(piece, base) : wholeOf(piece) };
      at = position + piece.length;
    }
  }

  #dataFrom(at: number): number {
    if (at >= this.bytes) return Infinity;
    const from = dataFrom(this.#fd, at, this.bytes);
    return from >= this.bytes ? Infinity : from;
  }

  #differences({ position, length, bytes }: Piece, base: SourceFile): Piece[] {
    const [other] = base.#pieces(position, Math.min(base.bytes, position + length));
    const found: Piece[] = [];
    for (let at = 0; at < length; at += PART) {
      const end = Math.min(length, at + PART);
      const mine = bytes?.subarray(at, end) ?? null;
      if (isSame(mine, other?.bytes?.subarray(at, end) ?? null, end - at)) continue;
      const isZeros = mine === null || isZero(mine);
      found.push({ position: position + at, length: end - at, bytes: isZeros ? null : mine });
    }
    return found;
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
    if (!this.#isOpen) return;
    this.#isOpen = false;
    close(this.#fd);
  }
}

function wholeOf({ position, length, bytes }: Piece): Piece[] {
  return bytes === null ? [] : [{ position, length, bytes }];
}

/** Whether two parts of files have the same in `length` bytes; null, and what is missing, is zeros. */
function isSame(
  a: Uint8Array<ArrayBuffer> | null,
  b: Uint8Array<ArrayBuffer> | null,
  length: number,
): boolean {
  if (a === null || b === null) return isZero(a ?? b ?? new Uint8Array());
  const common = Math.min(b.length, length);
  if (common === 0) return isZero(a);
  const whole = common & ~3;
  // Parts begin at multiples of their size in the buffers, so words are aligned.
  const [these, those] = [a, b].map((it) => new Uint32Array(it.buffer, it.byteOffset, whole / 4));
  for (let i = 0; i < these.length; i++) if (these[i] !== those[i]) return false;
  for (let i = whole; i < common; i++) if (a[i] !== b[i]) return false;
  return isZero(a.subarray(common));
}

/** Whether there are only zeros. */
export function isZero(bytes: Uint8Array<ArrayBuffer>): boolean {
  if (bytes.byteOffset % 4 !== 0) return bytes.every((byte) => byte === 0);
  const whole = bytes.length & ~3;
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

  /**
   * Takes over all that a file of this host has, which must not be longer, in no time and without room of
   * its own; false where that cannot be done, and the file is all holes. What comes then is what differs.
   */
  startFrom(path: string, share: typeof shareBlocks = shareBlocks): boolean {
    const source = open(path, O_RDONLY);
    try {
      if (length(source) > this.#bytes) return false;
      // A last block that is not whole can only be shared by who ends there too.
      setLength(this.#fd, 0);
      return share(this.#fd, source);
    } finally {
      close(source);
      setLength(this.#fd, this.#bytes);
    }
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
