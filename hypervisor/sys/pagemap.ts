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
/** Upper words of an entry. */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
const BATCH = 65536;

/**
 * The pages of a private mapping that are its own, in order: written since it was made, in memory or in
 * swap. Bytes from the mapping's beginning.
 */
export function* ownPages(address: number, length: number): Generator<DataRange> {
  const fd = open("/proc/self/pagemap", O_RDONLY);
  try {
    const words = new Uint32Array(2 * BATCH);
    const bytes = new Uint8Array(words.buffer);
    const pages = Math.ceil(length / PAGE);
    let start = -1;
    for (let page = 0; page < pages; page += BATCH) {
      const count = Math.min(BATCH, pages - page);
      const at = (address / PAGE + page) * 8;
      const n = readAt(fd, bytes.subarray(0, count * 8), at);
      for (let i = 0; i < count; i++) {
        const upper = i * 8 < n ? words[2 * i + 1] : 0;
        const own = (upper & (PRESENT | SWAPPED)) !== 0 && (upper & OF_FILE) === 0;
        if (own && start < 0) start = page + i;
        else if (!own && start >= 0) {
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
