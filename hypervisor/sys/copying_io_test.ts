import { assert, assertEquals } from "@std/assert";
import { InterruptibleWait, isSame, POLLIN, POLLOUT, writeAll } from "./copying_io.ts";
import { eventfd, signal } from "./eventfd.ts";
import { close } from "./files.ts";
import { map, memfd } from "./mapping.ts";
import { residentPages } from "./pagemap.ts";
import { dataRanges } from "./sparse.ts";

const PAGE = 4096;

Deno.test("data and holes of a file are found", () => {
  const fd = memfd("holes", 16 * PAGE);
  const from = map(2 * PAGE);
  new Uint8Array(from.buffer).fill(1);
  writeAll(fd, { address: from.address, length: 2 * PAGE }, 4 * PAGE);
  assertEquals([...dataRanges(fd, 16 * PAGE)], [{ start: 4 * PAGE, end: 6 * PAGE }]);
  const back = map(16 * PAGE, { fd });
  assert(isSame(back.address + 4 * PAGE, from.address, 2 * PAGE));
  assert(!isSame(back.address, from.address, 1));
  back.unmap();
  from.unmap();
  close(fd);
});

Deno.test("pages that were touched are there, in runs", () => {
  const memory = map(40_000 * PAGE, { private: true, align: 2 ** 21 });
  const bytes = new Uint8Array(memory.buffer);
  const touched = [3, 4, 5, 100, 16_383, 16_384, 39_999];
  for (const page of touched) bytes[page * PAGE] = 1;
  const there = new Set<number>();
  let end = -1;
  for (const run of residentPages(memory.address, memory.length)) {
    assert(run.start > end && run.end > run.start);
    end = run.end;
    for (let at = run.start; at < end; at += PAGE) there.add(at / PAGE);
  }
  // More than those where the kernel hands out larger pages.
  assert(touched.every((page) => there.has(page)));
  assert(there.size < 40_000);
  memory.unmap();
});

Deno.test("who waits is told that the descriptor is ready, or woken", () => {
  const [fd, wake] = [eventfd(), eventfd()];
  const wait = new InterruptibleWait(wake);
  assert(wait.until(fd, POLLOUT));
  signal(fd);
  assert(wait.until(fd, POLLIN));
  signal(wake);
  assert(!wait.until(fd, POLLIN));
  close(fd);
  close(wake);
});
