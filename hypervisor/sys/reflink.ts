/**
 * Copies of files that share their blocks where the file system can (XFS, btrfs), and keep their
 * holes where it cannot.
 *
 * @module
 */
import { check, EOPNOTSUPP, errno, EXDEV, SysError } from "./errno.ts";
import { close, length, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, open } from "./files.ts";
import { ioctl, iow } from "./ioctl.ts";
import { libraryOf } from "./library.ts";
import { readAt, writeAt } from "./positioned_io.ts";
import { nextData } from "./sparse.ts";

const libc = libraryOf({
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  copy_file_range: {
    parameters: ["i32", "buffer", "i32", "buffer", "usize", "u32"],
    result: "isize",
  },
});

const FICLONE = iow(0x94, 9, 4);
/** The unit in which stat tells what a file takes. */
const BLOCK_BYTES = 512;
/** Copied between two turns of the event loop, so that a long copy stops nobody. */
const CHUNK = 4 * 1024 * 1024;

/** How {@linkcode cloneFile} did it. */
export type CloneMethod = "reflink" | "copy";

export interface CloneOptions {
  signal?: AbortSignal;
  /** Called with the bytes that it will take before any is copied; may throw. */
  beforeCopy?: (bytes: number) => void | Promise<void>;
}

/**
 * Makes an open file, which may be empty, share all its blocks with another of the same file system until
 * either is written to; false where that cannot be done.
 */
export function shareBlocks(target: number, source: number): boolean {
  return ioctl(target, FICLONE, source) === 0;
}

/** Makes `to`, which must not exist, a copy of `from`. Does not sync it. */
export async function cloneFile(
  from: string,
  to: string,
  options: CloneOptions = {},
): Promise<CloneMethod> {
  const source = open(from, O_RDONLY);
  try {
    const target = open(to, O_RDWR | O_CREAT | O_EXCL);
    try {
      if (shareBlocks(target, source)) return "reflink";
      await options.beforeCopy?.((Deno.statSync(from).blocks ?? 0) * BLOCK_BYTES);
      await copySparse(source, target, options.signal);
      return "copy";
    } finally {
      close(target);
    }
  } finally {
    close(source);
  }
}

async function copySparse(source: number, target: number, signal?: AbortSignal) {
  for (const _ of copyData(source, target)) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    signal?.throwIfAborted();
  }
}

/** Copies an open file's data, and keeps its holes, into an empty one: a few MiB from one turn to the next. */
export function* copyData(source: number, target: number): Generator<void> {
  const size = length(source);
  check(libc.symbols.ftruncate(target, BigInt(size)), "set a copy's length");
  let at = 0;
  for (let data = nextData(source, at, size); data; data = nextData(source, at, size)) {
    const { start, end } = data;
    at = start;
    while (at < end) {
      yield;
      const count = copyRange({ source, target }, at, Math.min(CHUNK, end - at));
      if (count === 0) return;
      at += count;
    }
  }
}

/** How many bytes were copied; 0 where there are none any more. */
function copyRange(of: { source: number; target: number }, at: number, bytes: number): number {
  const sourceAt = new BigInt64Array([BigInt(at)]);
  const targetAt = new BigInt64Array([BigInt(at)]);
  const count = Number(libc.symbols.copy_file_range(
    of.source,
    new Uint8Array(sourceAt.buffer),
    of.target,
    new Uint8Array(targetAt.buffer),
    BigInt(bytes),
    0,
  ));
  if (count >= 0) return count;
  const code = errno();
  // From one kind of file system to another, the kernel leaves it to us.
  if (code !== EXDEV && code !== EOPNOTSUPP) throw new SysError("copy a file's data", code);
  const buffer = new Uint8Array(bytes);
  const read = readAt(of.source, buffer, at);
  writeAt(of.target, buffer.subarray(0, read), at);
  return read;
}
