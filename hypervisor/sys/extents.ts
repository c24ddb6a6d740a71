/**
 * Where on its disk a file's data lies, as far as it tells what of it is the file's alone (FIEMAP).
 *
 * @module
 */
import { delay } from "@std/async";
import { EOPNOTSUPP, errno, SysError } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";
import { ioctlBuffer, iowr } from "./ioctl.ts";
import { struct } from "./struct.ts";

export const Fiemap = struct("fiemap", {
  fm_start: "n64",
  fm_length: "u64",
  fm_flags: "u32",
  fm_mapped_extents: "u32",
  fm_extent_count: "u32",
  fm_reserved: "u32",
});

export const FiemapExtent = struct("fiemap_extent", {
  fe_logical: "n64",
  fe_physical: "n64",
  fe_length: "n64",
  fe_reserved64: ["u64", 2],
  fe_flags: "u32",
  fe_reserved: ["u32", 3],
});

export const FIEMAP = {
  EXTENT_LAST: 0x1,
  EXTENT_SHARED: 0x2000,
  MAX_OFFSET: 0xFFFF_FFFF_FFFF_FFFFn,
} as const;

export const FS_IOC_FIEMAP = iowr(0x66, 11, Fiemap.size);

/** Asked for at a time: a millisecond's worth at most, so that a file in many pieces stops nobody. */
const EXTENTS = 512;
/** The unit in which stat tells what a file takes. */
const BLOCK_BYTES = 512;

/**
 * What a file takes on its disk that it shares with no other: what removing it would give back. It is all
 * that the file takes on file systems that share nothing.
 */
export async function ownBytes(path: string): Promise<number> {
  const bytes = new Uint8Array(Fiemap.size + EXTENTS * FiemapExtent.size);
  const map = Fiemap.at(bytes.buffer);
  const extents = Array.from(
    { length: EXTENTS },
    (_, i) => FiemapExtent.at(bytes.buffer, Fiemap.size + i * FiemapExtent.size),
  );
  const fd = open(path, O_RDONLY);
  try {
    let own = 0;
    for (let start = 0;;) {
      map.fm_start = start;
      map.fm_length = FIEMAP.MAX_OFFSET - BigInt(start);
      map.fm_extent_count = EXTENTS;
      if (ioctlBuffer(fd, FS_IOC_FIEMAP, bytes) < 0) {
        const code = errno();
        if (code === EOPNOTSUPP) return (Deno.statSync(path).blocks ?? 0) * BLOCK_BYTES;
        throw new SysError(`find where "${path}" lies`, code);
      }
      const found = extents.slice(0, map.fm_mapped_extents);
      for (const { fe_flags, fe_length } of found) {
        if ((fe_flags & FIEMAP.EXTENT_SHARED) === 0) own += fe_length;
      }
      const last = found.at(-1);
      if (last === undefined || (last.fe_flags & FIEMAP.EXTENT_LAST) !== 0) return own;
      start = last.fe_logical + last.fe_length;
      await delay(0);
    }
  } finally {
    close(fd);
  }
}
