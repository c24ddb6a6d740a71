/**
 * Which pages of this process's memory are there, in RAM or swapped out: /proc/self/pagemap.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";
import { libraryOf } from "./library.ts";

const libc = libraryOf({
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
});

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** 64 MiB of memory. */
const CHUNK_PAGES = 16_384;
/** In the upper half of an entry: bits 63 and 62, which any user may read. */
const PRESENT_OR_SWAPPED = 0xC000_0000;

/** Calls `each` with every run of pages of `[address, address + length)` that are there. */
export function residentRuns(
  address: number,
  length: number,
  each: (offset: number, length: number) => void,
): void {
  const fd = open("/proc/self/pagemap", O_RDONLY);
  try {
    const pages = length / PAGE_BYTES;
    const words = new Uint32Array(2 * CHUNK_PAGES);
    const bytes = new Uint8Array(words.buffer);
    let first = -1;
    for (let at = 0; at < pages; at += CHUNK_PAGES) {
      const count = Math.min(CHUNK_PAGES, pages - at);
      const position = (address / PAGE_BYTES + at) * ENTRY_BYTES;
      const read = check(
        libc.symbols.pread(fd, bytes, BigInt(count * ENTRY_BYTES), BigInt(position)),
        "read which pages are there",
      );
      if (read !== count * ENTRY_BYTES) throw new Error(`Cannot read the pages at ${address}`);
      for (let i = 0; i < count; i++) {
        const there = (words[2 * i + 1] & PRESENT_OR_SWAPPED) !== 0;
        if (there === (first >= 0)) continue;
        if (there) first = at + i;
        else {
          each(first * PAGE_BYTES, (at + i - first) * PAGE_BYTES);
          first = -1;
        }
      }
    }
    if (first >= 0) each(first * PAGE_BYTES, (pages - first) * PAGE_BYTES);
  } finally {
    close(fd);
  }
}
