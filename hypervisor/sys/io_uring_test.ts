import { assert, assertEquals } from "@std/assert";
import { Epoll } from "./epoll.ts";
import { EINVAL, EOPNOTSUPP } from "./errno.ts";
import { close, O_RDWR, open } from "./files.ts";
import { ALLOCATE } from "./fallocate.ts";
import { type IoRequest, IoUring } from "./io_uring.ts";
import { Iovecs } from "./iovecs.ts";
import { map } from "./mapping.ts";

/** A descriptor that is not open: every request about it fails at once. */
const NOT_OPEN = 9999;

interface Rig {
  ring: IoUring;
  iovecs: Iovecs;
  bytes: Uint8Array<ArrayBuffer>;
  address: number;
  path: string;
  fd: number;
}

function withRing(
  options: { depth?: number; files?: number[]; pinned?: boolean },
  run: (rig: Rig) => void,
): void {
  const path = Deno.makeTempFileSync();
  const fd = open(path, O_RDWR);
  const mapping = map(1 << 16);
  const iovecs = new Iovecs(64);
  const { address, length } = mapping;
  const ring = new IoUring({
    depth: options.depth ?? 8,
    files: options.files ?? [fd],
    buffers: options.pinned ? { address, length } : undefined,
  });
  try {
    run({ ring, iovecs, bytes: new Uint8Array(mapping.buffer), address, path, fd });
  } finally {
    ring.close();
    iovecs.free();
    mapping.unmap();
    close(fd);
    Deno.removeSync(path);
  }
}

function request(address: number, length: number, more: Partial<IoRequest> = {}): IoRequest {
  return { file: 0, address, length, vectored: false, position: 0, stable: false, ...more };
}

/** Waits for `count` completions: tag to result. */
function collect(ring: IoUring, count: number): Map<number, number> {
  const results = new Map<number, number>();
  while (results.size < count) {
    if (ring.reap((tag, result) => results.set(tag, result)) === 0) ring.wait();
  }
  return results;
}

for (const pinned of [false, true]) {
  Deno.test(`what was written is read, with ${pinned ? "" : "no "}memory pinned`, () => {
    withRing({ pinned }, ({ ring, iovecs, bytes, address }) => {
      assertEquals(ring.fixedBuffers, pinned);
      bytes.set(new TextEncoder().encode("hello, world"));
      iovecs.set(0, address, 5);
      iovecs.set(1, address + 5, 7);
      const vector = { vectored: true, position: 4096, stable: true };
      ring.write(7, request(iovecs.address(0), 2, vector));
      ring.submit();
      assertEquals(collect(ring, 1), new Map([[7, 12]]));
      ring.write(8, request(address, 2, { position: 4096 + 10 }));
      ring.submit();
      assertEquals(collect(ring, 1), new Map([[8, 2]]));
      ring.read(0xffff_fff0, request(address + 0x1000, 12, { position: 4096 }));
      iovecs.set(2, address + 0x2000, 12);
      ring.read(1, request(iovecs.address(2), 1, { vectored: true, position: 4096 }));
      ring.submit();
      assertEquals(collect(ring, 2), new Map([[0xffff_fff0, 12], [1, 12]]));
      for (const at of [0x1000, 0x2000]) {
        assertEquals(new TextDecoder().decode(bytes.slice(at, at + 12)), "hello, worhe");
      }
      assertEquals(ring.inFlight, 0);
    });
  });
}

Deno.test("memory beside what is pinned can be used as well", () => {
  withRing({ pinned: true }, ({ ring, bytes, address }) => {
    const other = map(4096);
    bytes.fill(3, 0, 512);
    ring.write(1, request(address, 512));
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[1, 512]]));
    ring.read(2, request(other.address, 512));
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[2, 512]]));
    assert(new Uint8Array(other.buffer, 0, 512).every((byte) => byte === 3));
    other.unmap();
  });
});

Deno.test("a failed request answers with its negative errno", () => {
  withRing({ files: [NOT_OPEN] }, ({ ring, address }) => {
    ring.read(1, request(address, 5));
    ring.datasync(2, 0);
    ring.submit();
    assertEquals(collect(ring, 2), new Map([[1, -9], [2, -9]]));
  });
});

Deno.test("more requests than a batch has room for are all carried out", () => {
  withRing({ depth: 700 }, ({ ring, address, bytes }) => {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 700; i++) bytes[i] = i * 7 + round;
      for (let i = 0; i < 700; i++) ring.write(i, request(address + i, 1, { position: i }));
      ring.submit();
      assertEquals([...collect(ring, 700).values()], new Array(700).fill(1));
      ring.read(0, request(address + 0x1000, 700));
      ring.submit();
      assertEquals(collect(ring, 1), new Map([[0, 700]]));
      assertEquals(bytes.slice(0x1000, 0x1000 + 700), bytes.slice(0, 700));
    }
  });
});

Deno.test("a range of a file can be freed and allocated", () => {
  withRing({}, ({ ring, bytes, address, path }) => {
    bytes.fill(5, 0, 8192);
    ring.write(0, request(address, 8192));
    ring.submit();
    collect(ring, 1);
    const mode = ALLOCATE.PUNCH_HOLE | ALLOCATE.KEEP_SIZE;
    ring.fallocate(4, { file: 0, mode, position: 100, length: 4000 });
    ring.submit();
    assertEquals(collect(ring, 1), new Map([[4, 0]]));
    const content = Deno.readFileSync(path);
    assertEquals(content.length, 8192);
    assert(content.every((byte, i) => byte === (i >= 100 && i < 4100 ? 0 : 5)));
    // What is no block device has nothing to discard.
    ring.discard(5, { file: 0, position: 0, length: 4096 });
    ring.submit();
    const result = collect(ring, 1).get(5)!;
    assert([-EINVAL, -EOPNOTSUPP].includes(result), `${result}`);
  });
});

Deno.test("a completion that comes later makes the ring readable", () => {
  // A FIFO with nothing in it: the read cannot complete within submit.
  const fifo = Deno.makeTempFileSync();
  Deno.removeSync(fifo);
  new Deno.Command("mkfifo", { args: [fifo] }).outputSync();
  const fd = open(fifo, O_RDWR);
  withRing({ files: [fd] }, ({ ring, address }) => {
    ring.read(3, request(address, 5));
    ring.submit();
    assertEquals(ring.reap(() => {}), 0);
    const epoll = new Epoll();
    epoll.add(ring.fd);
    assertEquals(epoll.wait(0), 0);
    Deno.writeFileSync(fifo, new Uint8Array([1, 2, 3]));
    while (epoll.wait(5000) === 0);
    assertEquals(epoll.ready(0), ring.fd);
    ring.submit();
    assertEquals(ring.reap((tag, result) => assertEquals([tag, result], [3, 3])), 1);
    assertEquals(epoll.wait(0), 0);
  });
  close(fd);
  Deno.removeSync(fifo);
});

Deno.test("what completes within submit is reaped without waking anybody", () => {
  withRing({ files: [NOT_OPEN] }, ({ ring, address }) => {
    const epoll = new Epoll();
    epoll.add(ring.fd);
    ring.read(2, request(address, 5));
    ring.submit();
    assertEquals(ring.reap((tag, result) => assertEquals([tag, result], [2, -9])), 1);
    assertEquals(epoll.wait(0), 0);
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
