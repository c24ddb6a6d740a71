import { assert, assertEquals } from "@std/assert";
import { drain } from "./eventfd.ts";
import { Epoll } from "./epoll.ts";
import { close, O_RDWR, open } from "./files.ts";
import { IoUring } from "./io_uring.ts";
import { Iovecs } from "./iovecs.ts";
import { map } from "./mapping.ts";

function withRing(
  entries: number,
  run: (
    rig: { ring: IoUring; iovecs: Iovecs; bytes: Uint8Array; address: number; fd: number },
  ) => void,
): void {
  const path = Deno.makeTempFileSync();
  const fd = open(path, O_RDWR);
  const mapping = map(1 << 16);
  const iovecs = new Iovecs(64);
  const ring = new IoUring(entries);
  try {
    const bytes = new Uint8Array(mapping.buffer);
    run({ ring, iovecs, bytes, address: mapping.address, fd });
  } finally {
    ring.close();
    iovecs.free();
    mapping.unmap();
    close(fd);
    Deno.removeSync(path);
  }
}

/** Waits for `count` completions: tag to result. */
function collect(ring: IoUring, count: number): Map<number, number> {
  const results = new Map<number, number>();
  while (results.size < count) {
    if (ring.reap((tag, result) => results.set(tag, result)) === 0) ring.wait();
  }
  return results;
}

Deno.test("what writev wrote, readv reads", () => {
  withRing(8, ({ ring, iovecs, bytes, address, fd }) => {
    bytes.set(new TextEncoder().encode("hello, world"));
    iovecs.set(0, address, 5);
    iovecs.set(1, address + 5, 7);
    const write = { fd, iovecs: iovecs.address(0), count: 2, position: 4096, stable: true };
    ring.writev(7, write);
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[7, 12]]));
    iovecs.set(2, address + 0x1000, 12);
    ring.readv(0xffff_fff0, { fd, iovecs: iovecs.address(2), count: 1, position: 4096 });
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[0xffff_fff0, 12]]));
    assertEquals(new TextDecoder().decode(bytes.slice(0x1000, 0x100c)), "hello, world");
    assertEquals(ring.inFlight, 0);
  });
});

Deno.test("a failed request answers with its negative errno", () => {
  withRing(8, ({ ring, iovecs, address }) => {
    iovecs.set(0, address, 5);
    ring.readv(1, { fd: 9999, iovecs: iovecs.address(0), count: 1, position: 0 });
    ring.datasync(2, 9999);
    ring.submit();
    assertEquals(collect(ring, 2), new Map([[1, -9], [2, -9]]));
  });
});

Deno.test("more requests than entries are all carried out, around the ring's wrap", () => {
  withRing(4, ({ ring, iovecs, address, fd, bytes }) => {
    bytes.fill(5, 0, 64);
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 7; i++) {
        iovecs.set(i, address + i, 1);
        const position = round * 7 + i;
        ring.writev(i, { fd, iovecs: iovecs.address(i), count: 1, position, stable: false });
      }
      ring.submit();
      const results = collect(ring, 7);
      assertEquals([...results.values()], new Array(7).fill(1));
    }
    iovecs.set(0, address + 0x1000, 350);
    ring.readv(0, { fd, iovecs: iovecs.address(0), count: 1, position: 0 });
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[0, 350]]));
    assert(bytes.subarray(0x1000, 0x1000 + 350).every((byte) => byte === 5));
  });
});

Deno.test("a completion that comes later signals the eventfd", () => {
  withRing(8, ({ ring, iovecs, address }) => {
    // A FIFO with nothing in it: the read cannot complete within submit.
    const fifo = Deno.makeTempFileSync();
    Deno.removeSync(fifo);
    new Deno.Command("mkfifo", { args: [fifo] }).outputSync();
    const fd = open(fifo, O_RDWR);
    iovecs.set(0, address, 5);
    ring.readv(3, { fd, iovecs: iovecs.address(0), count: 1, position: 0 });
    ring.submit();
    assertEquals(ring.reap(() => {}), 0);
    const epoll = new Epoll();
    epoll.add(ring.eventFd);
    assertEquals(epoll.wait(0), 0);
    Deno.writeFileSync(fifo, new Uint8Array([1, 2, 3]));
    while (epoll.wait(5000) === 0);
    assertEquals(epoll.ready(0), ring.eventFd);
    assert(drain(ring.eventFd));
    assertEquals(collect(ring, 1), new Map([[3, 3]]));
    close(fd);
    Deno.removeSync(fifo);
  });
});

Deno.test("what completes within submit is reaped without waking anybody", () => {
  withRing(8, ({ ring, iovecs, address }) => {
    iovecs.set(0, address, 5);
    // A descriptor that is not open fails at once on every file system.
    ring.readv(2, { fd: 9999, iovecs: iovecs.address(0), count: 1, position: 0 });
    ring.submit();
    assertEquals(ring.reap((tag, result) => assertEquals([tag, result], [2, -9])), 1);
    assert(!drain(ring.eventFd));
  });
});

Deno.test("an advanced iovec array begins where a short transfer ended", () => {
  const iovecs = new Iovecs(3);
  iovecs.set(0, 0x7000_0000_1000, 10);
  iovecs.set(1, 0x7000_0000_2000, 20);
  iovecs.set(2, 0x7000_0000_3000, 30);
  assertEquals(iovecs.advance(0, 3, 15), 1);
  assertEquals([iovecs.base(1), iovecs.length(1)], [0x7000_0000_2005, 15]);
  assertEquals(iovecs.advance(1, 2, 15), 1);
  assertEquals([iovecs.base(2), iovecs.length(2)], [0x7000_0000_3000, 30]);
  iovecs.free();
});
