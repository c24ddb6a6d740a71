/**
 * Where a file has data, and where holes.
 *
 * @module
 */
import { check, EINVAL, ENXIO, errno, ESPIPE, SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
});

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** In bytes. */
export interface DataRange {
  start: number;
  end: number;
}

/** The first data at or after `at`, before `length`; null where there is no more. */
export function nextData(fd: number, at: number, length: number): DataRange | null {
  if (at >= length) return null;
  const start = Number(libc.symbols.lseek(fd, BigInt(at), SEEK_DATA));
  if (start < 0) {
    const code = errno();
    if (code === ENXIO) return null;
    // A file of huge pages has no such means: it may be data all over.
    if (code === EINVAL || code === ESPIPE) return { start: at, end: length };
    throw new SysError("find a file's data", code);
  }
  if (start >= length) return null;
  const end = check(Number(libc.symbols.lseek(fd, BigInt(start), SEEK_HOLE)), "find a hole");
  return { start, end: Math.min(end, length) };
}

/** Where the first data at or after `at` begins; `length` where there is none before it. */
export function dataFrom(fd: number, at: number, length: number): number {
  const start = Number(libc.symbols.lseek(fd, BigInt(at), SEEK_DATA));
  if (start >= 0) return Math.min(start, length);
  const code = errno();
  if (code === ENXIO) return length;
  if (code === EINVAL || code === ESPIPE) return at;
  throw new SysError("find a file's data", code);
}

/** All data of the first `length` bytes from `from` on, in order. */
export function* dataRanges(fd: number, length: number, from = 0): Generator<DataRange> {
  let at = from;
  for (let range = nextData(fd, at, length); range; range = nextData(fd, at, length)) {
    yield range;
    at = range.end;
  }
}
