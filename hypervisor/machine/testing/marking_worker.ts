/**
 * A thread that adds every other page to a set, for the test of several at once.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { DIRTY_PAGE_BYTES, DirtyPages } from "../dirty_pages.ts";

export interface MarkingTask {
  buffer: SharedArrayBuffer;
  /** The first counts threads that are through. */
  counters: Int32Array;
  /** 0 for even pages, 1 for odd ones. */
  part: number;
  pages: number;
}

self.onmessage = ({ data: { buffer, counters, part, pages } }: MessageEvent<MarkingTask>) => {
  const set = new DirtyPages(buffer);
  for (let page = part; page < pages; page += 2) set.add(page * DIRTY_PAGE_BYTES, 1);
  Atomics.add(counters, 0, 1);
  self.close();
};
