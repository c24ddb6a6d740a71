import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { close, O_RDONLY, open } from "../../sys/files.ts";
import { zlib } from "../../sys/zlib.ts";
import { Packing } from "./packing.ts";
import { RamImage } from "./ram_image.ts";
import { MAX_PACKED_BYTES } from "./stream_format.ts";
import { receiveRam } from "./stream_receiver.ts";
import { StreamSink } from "./stream_sink.ts";
import { MovedMemory, PAGE, TestFile } from "./testing/memory.ts";
import { FramePacker, FrameUnpacker } from "./zstd.ts";

const MiB = 2 ** 20;
const PAGES = 4 * MiB / PAGE;
const options = { wakeFd: -1, checkCancelled: () => {} };

/** Pages of one kind: zeros, such that shrink, or such that do not. */
interface Run {
  page: number;
  count: number;
  kind: "zeros" | "text" | "noise";
  seed: number;
}

const run: fc.Arbitrary<Run> = fc.record({
  page: fc.nat(PAGES - 1),
  count: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 400 })),
  kind: fc.constantFrom<Run["kind"]>("zeros", "text", "text", "noise"),
  seed: fc.nat(0xFFFF),
});

function write(bytes: Uint8Array, { page, count, kind, seed }: Run): void {
  const part = bytes.subarray(page * PAGE, Math.min(bytes.length, (page + count) * PAGE));
  let x = seed + 1;
  for (let at = 0; at < part.length; at++) {
    x = Math.imul(x, 1664525) + 1013904223 | 0;
    part[at] = kind === "zeros" ? 0 : kind === "text" ? 97 + (x >>> 28) : x >>> 24;
  }
}

/** Sends memory in two rounds with what is written between them, and receives it elsewhere. */
function roundTrip(memory: MovedMemory, { packing, rounds }: {
  packing?: Packing;
  rounds: readonly Run[][];
}): StreamSink {
  using other = new MovedMemory({ length: 4 * MiB });
  const image = new RamImage(memory.spec);
  const { address, areas } = image;
  using file = new TestFile();
  const sink = new StreamSink({ ...options, fd: file.fd, address, areas, packing });
  rounds.forEach((runs, number) => {
    for (const one of runs) write(memory.bytes, one);
    sink.round(number, 0);
    image.refresh();
    for (const area of areas) image.pieces(area, sink, sink.mostBytes);
  });
  sink.end();
  sink.close();
  image.close();
  const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
  const mayPack = packing !== undefined;
  const { receivedBytes } = receiveRam({ ...options, fd, memory: other.spec, mayPack });
  close(fd);
  packing?.close();
  assertEquals(receivedBytes, sink.sentBytes);
  assertEquals(sink.wireBytes, file.taken === 0 ? 0 : sizeOf(file));
  assert(other.bytes.every((byte, i) => byte === memory.bytes[i]), "it is not what was sent");
  return sink;
}

const sizeOf = ({ fd }: TestFile) => Deno.statSync(`/proc/self/fd/${fd}`).size;

Deno.test("whatever is packed is unpacked as it was, where it belongs", () => {
  const rounds = fc.array(fc.array(run, { maxLength: 12 }), { minLength: 1, maxLength: 2 });
  // A page that has become zeros before it was packed.
  const page: Run = { page: 5, count: 1, kind: "zeros", seed: 1 };
  const emptied: Run[][] = [[{ ...page, page: 0, count: 10, kind: "text" }], [page]];
  fc.assert(
    fc.property(rounds, (rounds) => {
      using memory = new MovedMemory({ length: 4 * MiB });
      roundTrip(memory, { packing: new Packing("zstd"), rounds });
    }),
    { numRuns: 25, examples: [[emptied]] },
  );
});

Deno.test("pages that shrink take less, others no more than as they are, and zeros nothing", () => {
  const sent = (kind: Run["kind"], compression?: "zstd" | "auto") => {
    using memory = new MovedMemory({ length: 4 * MiB });
    const { sentBytes, wireBytes } = roundTrip(memory, {
      packing: compression && new Packing(compression),
      rounds: [[{ page: 0, count: PAGES, kind, seed: 1 }]],
    });
    return [sentBytes / MiB, Math.round(wireBytes / MiB * 10) / 10];
  };
  assertEquals(sent("text"), [4, 4]);
  const [memory, wire] = sent("text", "zstd");
  assert(memory === 4 && wire < 2.4, `${wire}`);
  assertEquals(sent("noise", "zstd"), [4, 4]);
  assertEquals(sent("zeros", "zstd"), [0, 0]);
  // A file takes all at once.
  assertEquals(sent("text", "auto"), [4, 4]);
});

Deno.test("what is said to follow after it was packed is not there, and all else is", () => {
  using memory = new MovedMemory({ length: 4 * MiB });
  write(memory.bytes, { page: 0, count: 100, kind: "text", seed: 3 });
  const image = new RamImage(memory.spec);
  const { address, areas } = image;
  const packing = new Packing("zstd");
  using file = new TestFile();
  const sink = new StreamSink({ ...options, fd: file.fd, address, areas, packing });
  image.pieces({ offset: 0, length: 100 * PAGE }, sink, sink.mostBytes);
  const set = DirtyPages.of(4 * MiB);
  set.add(90 * PAGE, 20 * PAGE);
  sink.follow(set);
  sink.end();
  [sink, packing, image].forEach((it) => it.close());
  using other = new MovedMemory({ length: 4 * MiB });
  const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
  const following = DirtyPages.of(4 * MiB);
  receiveRam({ ...options, fd, memory: other.spec, following, mayPack: true });
  close(fd);
  assertEquals([following.count, other.taken], [20, 90 * PAGE]);
  assertEquals(other.bytes.subarray(0, 90 * PAGE), memory.bytes.subarray(0, 90 * PAGE));
});

Deno.test("pages that do not shrink are tried ever more seldom, until some do again", () => {
  const packing = new Packing("zstd");
  using memory = new MovedMemory({ length: MiB });
  const tries = (kind: Run["kind"]) => {
    write(memory.bytes, { page: 0, count: MiB / PAGE, kind, seed: 7 });
    packing.add(memory.bytes, { offset: 0, length: MAX_PACKED_BYTES });
    assert(packing.isFull);
    const bytes = packing.pack();
    packing.clear();
    return bytes > 0;
  };
  for (let i = 0; i < 200; i++) assert(!tries("noise"));
  let plain = 0;
  while (!tries("text")) plain++;
  assert(plain <= 16, `${plain}`);
  assert(tries("text"));
  packing.close();
});

Deno.test("a frame is what it was said to be, or refused before it takes more memory", () => {
  const { zstdCompressSync, constants: { ZSTD_c_windowLog } } = zlib();
  const unpacker = new FrameUnpacker();
  const refused = (frame: Uint8Array, why: string, length = PAGE) => {
    const before = Deno.memoryUsage().rss;
    assertThrows(() => unpacker.unpack(frame, length), RangeError, why);
    assert(Deno.memoryUsage().rss - before < 16 * MiB);
  };
  const page = new Uint8Array(PAGE).map((_, i) => i % 7);
  const frame = new FramePacker().pack(page);
  assertEquals(Uint8Array.from(unpacker.unpack(frame, PAGE)), page);
  refused(frame, "4096 bytes were packed, not 8192", 2 * PAGE);
  refused(frame, "does not unpack", PAGE / 2);
  refused(frame.subarray(0, -1), "0 bytes were packed, not 4096");
  refused(new Uint8Array(), "0 bytes were packed");
  refused(new Uint8Array(20), "what is packed in 20 bytes does not unpack: ");
  // Much from little: by what it says of itself, and by what is in it.
  const much = new Uint8Array(128 * MiB);
  refused(zstdCompressSync(much), "does not unpack");
  const narrow = { params: { [ZSTD_c_windowLog]: 17 } };
  refused(zstdCompressSync(much, narrow), "does not unpack", MAX_PACKED_BYTES);
  const wide = { params: { [ZSTD_c_windowLog]: 27 } };
  refused(zstdCompressSync(page, wide), "too much memory");
});
