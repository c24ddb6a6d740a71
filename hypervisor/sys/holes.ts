/**
 * Where a file has data and where it has none: lseek's SEEK_DATA and SEEK_HOLE.
 *
 * @module
 */
import { ENXIO, errno, SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
});

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** The first byte from `at` on that may not be 0; Infinity where there is none. */
export function findData(fd: number, at: number): number {
  return find(fd, at, SEEK_DATA);
}

/** The first byte from `at` on that is in no data, at the latest the file's end. */
export function findHole(fd: number, at: number): number {
  return find(fd, at, SEEK_HOLE);
}

function find(fd: number, at: number, what: number): number {
  const found = Number(libc.symbols.lseek(fd, BigInt(at), what));
  if (found >= 0) return found;
  const code = errno();
  if (code === ENXIO) return Infinity;
  throw new SysError(`look for ${what === SEEK_DATA ? "data" : "a hole"} at ${at}`, code);
}
