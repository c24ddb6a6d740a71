import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PeerChannel, type Wire } from "./channel.ts";
import {
  decodeBody,
  decodeHeader,
  encodeData,
  encodeMessage,
  encodeZeros,
  type Frame,
  FrameHeader,
  MAX_MESSAGE_BYTES,
  PeerError,
} from "./frames.ts";

/** A connection whose other side has said all that it will, some bytes at a time. */
function heard(bytes: Uint8Array, atOnce = 7): PeerChannel {
  let at = 0;
  const wire: Wire = {
    read(into) {
      const part = bytes.subarray(at, at + Math.min(atOnce, into.length));
      into.set(part);
      at += part.length;
      return Promise.resolve(part.length === 0 ? null : part.length);
    },
    write: (bytes) => Promise.resolve(bytes.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  return new PeerChannel(wire);
}

Deno.test("what is said is heard, however it is cut into pieces", async () => {
  const position = fc.integer({ min: 0, max: 2 ** 52 });
  const file = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const frame = fc.oneof(
    fc.jsonValue().map((message) => [encodeMessage(message), { kind: "message", message }]),
    fc.tuple(file, position, fc.uint8Array({ minLength: 1, maxLength: 100 })).map(
      ([file, position, bytes]) => [
        encodeData(file, position, bytes),
        { kind: "data", file, position, bytes: [...bytes] },
      ],
    ),
    fc.tuple(file, position, position).map(([file, position, length]) => [
      encodeZeros(file, { position, length }),
      { kind: "zeros", file, position, length },
    ]),
  ) as fc.Arbitrary<[Uint8Array, unknown]>;
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame.filter(([bytes]) => bytes.length >= FrameHeader.size + 2), { maxLength: 5 }),
      fc.integer({ min: 1, max: 40 }),
      async (frames, atOnce) => {
        const all = new Uint8Array(frames.flatMap(([bytes]) => [...bytes]));
        const channel = heard(all, atOnce);
        for (const [, expected] of frames) {
          const told = await channel.next(1000);
          const plain = told.kind === "data" ? { ...told, bytes: [...told.bytes] } : told;
          // As JSON has it: it knows no negative zero.
          assertEquals(JSON.parse(JSON.stringify(plain)), JSON.parse(JSON.stringify(expected)));
        }
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("whatever comes is a frame or an error that says why, and nothing else", async () => {
  const header = fc.record({
    magic: fc.constantFrom(0x5250_5644, 0),
    kind: fc.integer({ min: 0, max: 5 }),
    length: fc.oneof(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 0, max: 2 ** 53 })),
  });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(header, fc.uint8Array({ maxLength: 100 })).map(([header, body]) =>
      new Uint8Array([...FrameHeader.create(header).$bytes, ...body])
    ),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (bytes) => {
      const channel = heard(bytes);
      try {
        for (;;) check(await channel.next(1000));
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

function check(frame: Frame) {
  if (frame.kind === "message") return;
  const length = frame.kind === "data" ? frame.bytes.length : frame.length;
  assertEquals(Number.isSafeInteger(frame.position + length), true);
}

Deno.test("a header that asks for too much is refused before anything is read", () => {
  const header = FrameHeader.create({ magic: 0x5250_5644, kind: 0, length: MAX_MESSAGE_BYTES + 1 });
  assertThrows(() => decodeHeader(header.$bytes), PeerError, "are allowed");
  assertThrows(() => decodeBody("message", new Uint8Array([0xff, 0xfe])), PeerError, "no JSON");
});

Deno.test("a side that says nothing is hung up on", async () => {
  let isClosed = false;
  const never = Promise.withResolvers<number>();
  const channel = new PeerChannel({
    read: () => never.promise,
    write: () => never.promise,
    closeWrite: () => Promise.resolve(),
    close() {
      isClosed = true;
      never.reject(new Error("closed"));
    },
  });
  const error = await channel.next(20).catch((error) => error);
  assertEquals([error.message, isClosed], ["The other host does not answer", true]);
});
