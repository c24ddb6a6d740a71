/**
 * Mounting and unmounting file systems.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  sync: { parameters: [], result: "void" },
});

/** Flags of mount(2). */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_REMOUNT = 32;
export const MS_NOATIME = 1024;

/** Flags of umount2(2). */
export const MNT_DETACH = 2;

export interface MountOptions {
  /** The device, or a name that only shows in listings. */
  source?: string;
  /** MS_* flags. */
  flags?: number;
  /** What the file system itself takes, such as "mode=755". */
  data?: string;
}

/** Mounts a file system of the kind `type` on the folder `target`, which must exist. */
export function mount(type: string, target: string, options: MountOptions = {}): void {
  const { source = type, flags = 0, data } = options;
  check(
    libc.symbols.mount(
      text(source),
      text(target),
      text(type),
      BigInt(flags),
      data === undefined ? null : text(data),
    ),
    `mount ${type} "${source}" on "${target}"`,
  );
}

/** Unmounts what is mounted on `target`. */
export function unmount(target: string, flags = 0): void {
  check(libc.symbols.umount2(text(target), flags), `unmount "${target}"`);
}

/** Returns once all file systems' changes are on their disks. */
export function syncAll(): void {
  libc.symbols.sync();
}

function text(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value + "\0");
}
