/**
 * errno and the errors made of it.
 *
 * @module
 */
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  __errno_location: { parameters: [], result: "pointer" },
});

// errno is per thread, and each Worker evaluates this module on its own thread.
const location = new Int32Array(
  Deno.UnsafePointerView.getArrayBuffer(libc.symbols.__errno_location()!, 4),
);

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const ESPIPE = 29;
export const EROFS = 30;
export const EPIPE = 32;
export const ENOSYS = 38;
export const EBADFD = 77;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const EDQUOT = 122;

const NAMES: Record<number, string> = {
  [EPERM]: "EPERM",
  [ENOENT]: "ENOENT",
  [ESRCH]: "ESRCH",
  [EINTR]: "EINTR",
  [EIO]: "EIO",
  [ENXIO]: "ENXIO",
  [E2BIG]: "E2BIG",
  [EBADF]: "EBADF",
  [EAGAIN]: "EAGAIN",
  [ENOMEM]: "ENOMEM",
  [EACCES]: "EACCES",
  [EFAULT]: "EFAULT",
  [EBUSY]: "EBUSY",
  [EEXIST]: "EEXIST",
  [EXDEV]: "EXDEV",
  [ENODEV]: "ENODEV",
  [EINVAL]: "EINVAL",
  [ENOTTY]: "ENOTTY",
  [ENOSPC]: "ENOSPC",
  [ESPIPE]: "ESPIPE",
  [EROFS]: "EROFS",
  [EPIPE]: "EPIPE",
  [ENOSYS]: "ENOSYS",
  [EBADFD]: "EBADFD",
  [EOPNOTSUPP]: "EOPNOTSUPP",
  [ENOBUFS]: "ENOBUFS",
  [EDQUOT]: "EDQUOT",
};

/** errno as the last FFI call of this thread left it; read it before any other call. */
export function errno(): number {
  return location[0];
}

/** A failed system call. */
export class SysError extends Error {
  override readonly name = "SysError";
  readonly errno: number;

  constructor(action: string, code: number) {
    super(`Cannot ${action}: ${NAMES[code] ?? `errno ${code}`}`);
    this.errno = code;
  }
}

/** Passes on a call's result; throws a {@linkcode SysError} where it is negative. */
export function check(result: number, action: string): number {
  if (result < 0) throw new SysError(action, errno());
  return result;
}
