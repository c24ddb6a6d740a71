/**
 * O_DIRECT: what a file asks of requests that go past the page cache.
 *
 * @module
 */
import { libraryOf } from "./library.ts";
import { struct } from "./struct.ts";

const libc = libraryOf({
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
});

const AT_EMPTY_PATH = 0x1000;
export const STATX_DIOALIGN = 0x2000;

/** `struct statx`, of which the alignments are used; the rest is there for its size. */
export const Statx = struct("statx", {
  stx_mask: "u32",
  stx_blksize: "u32",
  others: ["u32", 36],
  stx_dio_mem_align: "u32",
  stx_dio_offset_align: "u32",
  spare: ["u32", 24],
});

export interface DirectAlignment {
  /** Of a buffer's address, in bytes. */
  memory: number;
  /** Of the position in the file, and of each buffer's length, in bytes. */
  offset: number;
}

/** What the open file `fd` asks for; undefined where it cannot be opened with O_DIRECT. */
export function directAlignment(fd: number): DirectAlignment | undefined {
  const stat = Statx.create();
  const empty = new Uint8Array(1);
  const result = libc.symbols.statx(fd, empty, AT_EMPTY_PATH, STATX_DIOALIGN, stat.$bytes);
  // A kernel before 6.1 does not say: a page is enough for whatever there is.
  if (result < 0 || (stat.stx_mask & STATX_DIOALIGN) === 0) return { memory: 4096, offset: 4096 };
  const { stx_dio_mem_align: memory, stx_dio_offset_align: offset } = stat;
  return memory === 0 || offset === 0 ? undefined : { memory, offset };
}
