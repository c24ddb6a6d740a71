/**
 * pread(2) and pwrite(2): a file's bytes at a place.
 *
 * @module
 */
import { EINTR, errno, SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  pread: { name: "pread64", parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  pwrite: { name: "pwrite64", parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  fsync: { parameters: ["i32"], result: "i32" },
});

function all(
  call: (bytes: Uint8Array<ArrayBuffer>, position: bigint) => number | bigint,
  bytes: Uint8Array<ArrayBuffer>,
  options: { position: number; action: string },
): number {
  let done = 0;
  while (done < bytes.length) {
    const n = Number(call(bytes.subarray(done), BigInt(options.position + done)));
    if (n < 0) {
      const code = errno();
      if (code === EINTR) continue;
      throw new SysError(options.action, code);
    }
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** Fills `bytes` from `position` on; how many there were before the file's end. */
export function readAt(fd: number, bytes: Uint8Array<ArrayBuffer>, position: number): number {
  const call = (part: Uint8Array<ArrayBuffer>, at: bigint) =>
    libc.symbols.pread(fd, part, BigInt(part.length), at);
  return all(call, bytes, { position, action: `read ${bytes.length} bytes of a file` });
}

/** Writes all of `bytes` at `position`. */
export function writeAt(fd: number, bytes: Uint8Array<ArrayBuffer>, position: number): void {
  const call = (part: Uint8Array<ArrayBuffer>, at: bigint) =>
    libc.symbols.pwrite(fd, part, BigInt(part.length), at);
  all(call, bytes, { position, action: `write ${bytes.length} bytes to a file` });
}

/** Returns once the file, its length too, is on the disk. */
export function sync(fd: number): void {
  if (libc.symbols.fsync(fd) < 0) throw new SysError("bring a file to the disk", errno());
}
