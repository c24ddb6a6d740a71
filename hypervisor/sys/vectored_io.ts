/**
 * readv, writev and their positioned forms, over {@linkcode Iovecs}.
 *
 * @module
 */
import { errno } from "./errno.ts";
import type { Iovecs } from "./iovecs.ts";
import { libraryOf } from "./library.ts";

// Linux moves 2^31 - 4096 bytes at most in one call, so results fit 32 bits and need no bigint.
const libc = libraryOf({
  readv: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  writev: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  preadv2: { parameters: ["i32", "usize", "i32", "i64", "i32"], result: "i32" },
  pwritev2: { parameters: ["i32", "usize", "i32", "i64", "i32"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
});

const RWF_DSYNC = 2;

export interface PositionedOptions {
  /** Which of the iovecs, and how many. */
  index: number;
  count: number;
  /** Where in the file, in bytes. */
  position: number;
}

function result(value: number): number {
  return value < 0 ? -errno() : value;
}

/** Bytes read, or a negative errno. */
export function preadv(fd: number, iovecs: Iovecs, options: PositionedOptions): number {
  const { index, count, position } = options;
  const address = BigInt(iovecs.address(index));
  return result(libc.symbols.preadv2(fd, address, count, BigInt(position), 0));
}

/** Bytes written, or a negative errno; `stable` returns once they are on the disk. */
export function pwritev(
  fd: number,
  iovecs: Iovecs,
  options: PositionedOptions & { stable?: boolean },
): number {
  const { index, count, position, stable = false } = options;
  const address = BigInt(iovecs.address(index));
  const flags = stable ? RWF_DSYNC : 0;
  return result(libc.symbols.pwritev2(fd, address, count, BigInt(position), flags));
}

/** Returns once the file's data is on the disk: 0, or a negative errno. */
export function fdatasync(fd: number): number {
  return result(libc.symbols.fdatasync(fd));
}

/** Reads and writes packets from and to one descriptor. */
export class VectoredStream {
  readonly #fd: number;
  readonly #iovecs: Iovecs;
  // A pointer is an object: each is made once.
  readonly #pointers: Deno.PointerValue[];

  constructor(fd: number, iovecs: Iovecs) {
    this.#fd = fd;
    this.#iovecs = iovecs;
    this.#pointers = new Array(iovecs.count).fill(null);
  }

  #pointer(index: number): Deno.PointerValue {
    return this.#pointers[index] ??= Deno.UnsafePointer.create(
      BigInt(this.#iovecs.address(index)),
    );
  }

  /** Into `count` iovecs from the `index`th on: bytes read, or a negative errno. */
  read(count: number, index = 0): number {
    return result(libc.symbols.readv(this.#fd, this.#pointer(index), count));
  }

  /** From `count` iovecs from the `index`th on: bytes written, or a negative errno. */
  write(count: number, index = 0): number {
    return result(libc.symbols.writev(this.#fd, this.#pointer(index), count));
  }
}
