/**
 * What the kernel keeps in memory of a file, where others may write to the file without its knowing.
 *
 * @module
 */
import { SysError } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
});

const POSIX_FADV_DONTNEED = 4;
/** More than `struct statfs` has. */
const STATFS_BYTES = 256;

/** `f_type` of NFS. */
const NFS = 0x6969;
/**
 * `f_type` of file systems whose files other hosts write to as well. Those of a cluster that keep the
 * hosts' memories in agreement by themselves are not among them.
 */
const SHARED = new Set([
  NFS,
  0xFE53_4D42, // SMB
  0xFF53_4D42, // CIFS
  0x00C3_6400, // Ceph
  0x0102_1997, // 9P
  0x6573_5546, // FUSE: GlusterFS, SSHFS and others
]);

/** Whether a file is on a file system that other hosts may have too. */
export function isOnSharedFileSystem(fd: number): boolean {
  return SHARED.has(typeOf(fd) ?? 0);
}

/** Whether a file is on another host, by NFS. */
export function isOnNfs(fd: number): boolean {
  return typeOf(fd) === NFS;
}

function typeOf(fd: number): number | undefined {
  const bytes = new Uint8Array(STATFS_BYTES);
  if (libc.symbols.fstatfs(fd, bytes) < 0) return undefined;
  return new DataView(bytes.buffer).getUint32(0, true);
}

/** Has what is read of a file from now on come from where it is stored; what was written here and is not there yet stays. */
export function forgetPages(fd: number): void {
  // The error is the result, and not in errno.
  const error = libc.symbols.posix_fadvise(fd, 0n, 0n, POSIX_FADV_DONTNEED);
  if (error !== 0) throw new SysError(`forget the pages of descriptor ${fd}`, error);
}
