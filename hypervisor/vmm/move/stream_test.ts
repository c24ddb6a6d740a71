import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import { EPIPE, SysError } from "../../sys/errno.ts";
import { eventfd, signal } from "../../sys/eventfd.ts";
import { close, O_RDONLY, open } from "../../sys/files.ts";
import { StreamPair } from "../../sys/testing/stream_pair.ts";
import { RamImage } from "./ram_image.ts";
import {
  checkPlaces,
  checkRecord,
  checkStart,
  MAX_FOLLOW_BYTES,
  PackedPlace,
  RECORD,
  StreamRecord,
  streamStart,
} from "./stream_format.ts";
import { receiveRam } from "./stream_receiver.ts";
import { StreamSink } from "./stream_sink.ts";
import { MovedMemory, PAGE, TestFile } from "./testing/memory.ts";
import { checkStreamCase, streamCase } from "./testing/stream_case.ts";

const MiB = 2 ** 20;
const options = { wakeFd: -1, checkCancelled: () => {} };

Deno.test("a stream is taken whole, or refused, and stays within RAM", () => {
  fc.assert(fc.property(streamCase, checkStreamCase), { numRuns: 150 });
});

for (const mergeable of [false, true]) {
  Deno.test(`what is sent is received, holes and all${mergeable ? ", in private memory" : ""}`, () => {
    const added = mergeable ? {} : { hotplugLength: 4 * MiB };
    using memory = new MovedMemory({ length: 4 * MiB, mergeable, ...added });
    using other = new MovedMemory({ length: 4 * MiB, mergeable, ...added });
    memory.write(10, 700, 3);
    if (!mergeable) memory.write(1500, 3, 4);
    const image = new RamImage(memory.spec);
    using file = new TestFile();
    const sink = new StreamSink({
      fd: file.fd,
      address: image.address,
      areas: image.areas,
      ...options,
    });
    const pass = (number: number) => {
      sink.round(number, 0);
      image.refresh();
      for (const area of image.areas) image.pieces(area, sink, sink.mostBytes);
    };
    pass(0);
    // What is sent later counts.
    memory.write(20, 100, 0);
    memory.write(300, 1, 9);
    pass(1);
    sink.end();
    sink.close();
    // Another description of the file, which is read from its beginning.
    const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
    const rounds: number[] = [];
    const { receivedBytes } = receiveRam({
      fd,
      memory: other.spec,
      ...options,
      round: (number) => rounds.push(number),
    });
    close(fd);
    assertEquals(receivedBytes, sink.sentBytes);
    assertEquals(rounds, [0, 1]);
    if (!mergeable) assertEquals(other.taken, (700 - 100 + 3) * PAGE);
    assertEquals(other.bytes, memory.bytes);
    image.close();
  });
}

Deno.test("what is said to follow is not there any more, and is RAM, and was asked for", () => {
  const length = 4 * MiB + PAGE;
  using memory = new MovedMemory({ length });
  memory.write(0, 1024, 3);
  const image = new RamImage(memory.spec);
  const set = DirtyPages.of(length);
  set.add(7 * PAGE, 40 * PAGE);
  set.add(1023 * PAGE, PAGE);
  const send = (pages: DirtyPages) => {
    const file = new TestFile();
    const { address, areas } = image;
    const sink = new StreamSink({ fd: file.fd, address, areas, ...options });
    image.pieces(areas[0], sink, sink.mostBytes);
    sink.follow(pages);
    sink.end();
    sink.close();
    return file;
  };
  const receive = (file: TestFile, following?: DirtyPages) => {
    using other = new MovedMemory({ length });
    const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
    try {
      receiveRam({ fd, memory: other.spec, ...options, following });
      assertEquals(other.taken, (1024 - 41) * PAGE);
    } finally {
      close(fd);
    }
  };
  using file = send(set);
  const following = DirtyPages.of(length);
  receive(file, following);
  assertEquals([following.count, following.has(7), following.has(1023)], [41, true, true]);
  assertThrows(() => receive(file), RangeError, "there is no record of kind 5");
  // The bitmap's last word has room for more pages than there are.
  set.add(1026 * PAGE, PAGE);
  using forged = send(set);
  assertThrows(
    () => receive(forged, DirtyPages.of(length)),
    RangeError,
    "page 1026 is not in RAM",
  );
  image.close();
});

Deno.test("who goes away in the middle is an error on the other side, and nothing worse", () => {
  using memory = new MovedMemory({ length: 4 * MiB });
  memory.write(0, 1024, 1);
  const image = new RamImage(memory.spec);
  const wakeFd = eventfd();
  {
    using pair = new StreamPair();
    const { address, areas } = image;
    const sink = new StreamSink({ ...options, fd: pair.fds[0], address, areas, wakeFd });
    pair.close(1);
    const error = assertThrows(() => {
      sink.data(0, PAGE);
      sink.flush();
    }, SysError);
    assertEquals(error.errno, EPIPE);
    sink.close();
  }
  {
    using pair = new StreamPair();
    pair.close(0);
    assertThrows(
      () => receiveRam({ ...options, fd: pair.fds[1], memory: memory.spec, wakeFd }),
      RangeError,
      "Cannot receive memory: it ended before its end",
    );
  }
  image.close();
  close(wakeFd);
});

Deno.test("who waits for the other side can be told to end", () => {
  using memory = new MovedMemory({ length: 4 * MiB });
  memory.write(0, 1024, 1);
  const image = new RamImage(memory.spec);
  const wakeFd = eventfd();
  using pair = new StreamPair();
  const cancelled = () => {
    throw new Error("It was cancelled");
  };
  const { address, areas } = image;
  const sink = new StreamSink({
    fd: pair.fds[0],
    address,
    areas,
    wakeFd,
    checkCancelled: cancelled,
  });
  signal(wakeFd);
  // More than a socket takes of whom nobody reads.
  assertThrows(
    () => {
      for (let at = 0; at < 4 * MiB; at += MiB) sink.data(at, MiB);
    },
    Error,
    "It was cancelled",
  );
  sink.close();
  using quiet = new StreamPair();
  assertThrows(
    () => receiveRam({ fd: quiet.fds[1], memory: memory.spec, wakeFd, checkCancelled: cancelled }),
    Error,
    "It was cancelled",
  );
  image.close();
  close(wakeFd);
});

Deno.test("a stream of other memory is refused by name", () => {
  const areas = [{ offset: 0, length: 2 * MiB }];
  const refused = (change: Partial<ReturnType<typeof streamStart>>, message: string) =>
    assertThrows(
      () => checkStart(Object.assign(streamStart(areas), change), areas),
      RangeError,
      `Cannot receive memory: ${message}`,
    );
  refused({ magic: 0 }, "bad magic 0x0");
  refused({ version: 2 }, "version 2 is not 1");
  refused({ length: MiB }, "its length is 1048576, not 2097152");
  refused({ added_length: MiB }, "its added_length is 1048576, not 0");
  refused({ page_bytes: 8192 }, "its page_bytes is 8192, not 4096");
  checkStart(streamStart(areas), areas);
  // Packed pages, and not unless that is allowed.
  const packed = streamStart(areas, { mayPack: true });
  assertThrows(() => checkStart(packed, areas), RangeError, "version 2 is not 1");
  assertEquals(checkStart(packed, areas, { mayPack: true }), true);
  assertEquals(checkStart(streamStart(areas), areas, { mayPack: true }), false);
});

Deno.test("packed pages are refused by what is wrong with their record or their places", () => {
  const areas = [{ offset: 0, length: 2 * MiB }];
  const record = (fields: { offset?: number; length?: number; flags?: number }, mayPack = true) =>
    checkRecord(StreamRecord.create({ kind: RECORD.PACKED, ...fields }), areas, { mayPack });
  const good = { offset: 2 * PAGE, length: 100, flags: 2 };
  record(good);
  const refused = (action: () => void, why: string) =>
    assertThrows(action, RangeError, `Cannot receive memory: ${why}`);
  refused(() => record(good, false), "a record's flags are 0x2");
  refused(() => record({ ...good, flags: 0 }, false), "there is no record of kind 6");
  refused(() => record({ ...good, flags: 0 }), "what is packed has 0 places, 64 at most");
  refused(() => record({ ...good, flags: 65 }), "what is packed has 65 places, 64 at most");
  refused(() => record({ ...good, length: 2 * PAGE + 1 }), "8192 bytes are packed in 8193");
  refused(() => record({ ...good, offset: MiB }), "1048576 bytes are packed, 262144 at most");
  const places = (...list: { offset: number | bigint; length: number }[]) =>
    checkPlaces(list.map((it) => PackedPlace.create(it)), { bytes: 2 * PAGE, areas });
  places({ offset: 0, length: PAGE }, { offset: 2 * MiB - PAGE, length: PAGE });
  refused(() => places({ offset: 0, length: PAGE }), "8192 bytes are packed for places of 4096");
  refused(() => places({ offset: 1, length: 2 * PAGE }), "8192 bytes at 1 are not whole pages");
  refused(() => places({ offset: 2 * MiB - PAGE, length: 2 * PAGE }), "8192 bytes at");
  refused(() => places({ offset: 2n ** 63n, length: PAGE }), "what is packed is 4096 bytes at");
});

Deno.test("a record is refused by what is wrong with it", () => {
  const areas = [{ offset: 0, length: 2 * MiB }];
  const cases: [Parameters<typeof StreamRecord.create>[0], string][] = [
    [{ kind: 0 }, "there is no record of kind 0"],
    [{ kind: 5 }, "there is no record of kind 5"],
    [{ kind: RECORD.ZERO, flags: 1, length: PAGE }, "a record's flags are 0x1"],
    [{ kind: RECORD.DATA, length: 0 }, "0 bytes at 0 are not whole pages"],
    [{ kind: RECORD.DATA, offset: 1, length: PAGE }, "4096 bytes at 1 are not whole pages"],
    [{ kind: RECORD.ZERO, offset: 2 * MiB, length: PAGE }, "4096 bytes at 2097152 are not in RAM"],
    [{ kind: RECORD.DATA, length: 2 * MiB }, "a record has 2097152 bytes, 1048576 at most"],
    [{ kind: RECORD.END, offset: 8 }, "its end is at 8"],
    [{ kind: RECORD.ZERO, offset: 2n ** 63n, length: PAGE }, "a record names 4096 bytes at"],
  ];
  for (const [fields, message] of cases) {
    const error = assertThrows(() => checkRecord(StreamRecord.create(fields), areas), RangeError);
    assert(error.message.startsWith(`Cannot receive memory: ${message}`), error.message);
  }
  const follow = (fields: { offset?: number; length: number }, of = areas) =>
    checkRecord(StreamRecord.create({ kind: RECORD.FOLLOW, ...fields }), of, { mayFollow: true });
  follow({ length: 2 * MiB });
  assertThrows(() => follow({ length: 4 * MiB }), RangeError, "are not in RAM");
  assertThrows(() => follow({ offset: PAGE, length: PAGE }), RangeError, "are not whole pages");
  assertThrows(
    () => follow({ length: 2 * MAX_FOLLOW_BYTES }, [{ offset: 0, length: 2 ** 40 }]),
    RangeError,
    "a bitmap is about",
  );
});
