/**
 * /proc/self/pagemap (the kernel's Documentation/admin-guide/mm/pagemap.rst): what is behind the pages of
 * a mapping.
 *
 * @module
 */
import { close, O_RDONLY, open } from "./files.ts";
import { readAt } from "./positioned_io.ts";
import type { DataRange } from "./sparse.ts";

const PAGE = 4096;
const ENTRY_BYTES = 8;
/** Upper words of an entry, of which any user may read these bits. */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
const BATCH = 65536;

/**
 * The pages of a private mapping that are its own, in order: written since it was made, in memory or in
 * swap. Bytes from the mapping's beginning.
 */
export function ownPages(address: number, length: number): Generator<DataRange> {
  return runs(address, length, OF_FILE);
}

/** The pages of a mapping that are there, in memory or in swap; likewise. */
export function residentPages(address: number, length: number): Generator<DataRange> {
  return runs(address, length, 0);
}

/** The pages that are there and have none of the bits `unwanted`. */
function* runs(address: number, length: number, unwanted: number): Generator<DataRange> {
  const fd = open("/proc/self/pagemap", O_RDONLY);
  try {
    const words = new Uint32Array(2 * BATCH);
    const bytes = new Uint8Array(words.buffer);
    const pages = Math.ceil(length / PAGE);
    let start = -1;
    for (let page = 0; page < pages; page += BATCH) {
      const count = Math.min(BATCH, pages - page);
      const at = (address / PAGE + page) * ENTRY_BYTES;
      const n = readAt(fd, bytes.subarray(0, count * ENTRY_BYTES), at);
      for (let i = 0; i < count; i++) {
        const upper = i * ENTRY_BYTES < n ? words[2 * i + 1] : 0;
        const wanted = (upper & (PRESENT | SWAPPED)) !== 0 && (upper & unwanted) === 0;
        if (wanted && start < 0) start = page + i;
        else if (!wanted && start >= 0) {
          yield { start: start * PAGE, end: (page + i) * PAGE };
          start = -1;
        }
      }
    }
    if (start >= 0) yield { start: start * PAGE, end: Math.min(pages * PAGE, length) };
  } finally {
    close(fd);
  }
}
