import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "../config/fields.ts";
import { parseConfig } from "../config/guest.ts";
import { CONFIG } from "../snapshot/testing/saved_guest.ts";
import { PROTOCOL_VERSION } from "../spoken_versions.ts";
import {
  asksOf,
  decodeHeader,
  decodeHello,
  decodeReason,
  decodeWelcome,
  encodeFrame,
  encodeHello,
  encodeReason,
  encodeWelcome,
  FrameHeader,
  type Hello,
  MigrationError,
  type Welcome,
} from "./frames.ts";

const entry = { function: 0, index: 0, flags: 0, eax: 13, ebx: 1, ecx: 2, edx: 3 };

const HELLO: Hello = {
  protocol: PROTOCOL_VERSION,
  format: 1,
  handOver: "ab".repeat(16),
  config: parseConfig(CONFIG),
  plugged: [{ name: "block1", slot: 0, device: { disk: { path: "/disk" } } }],
  cpuids: [[entry], [entry, { ...entry, function: 1 }]],
};

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** Taken, or refused by name. */
function isRefused(action: () => unknown): boolean {
  try {
    action();
    return false;
  } catch (error) {
    assert(
      error instanceof MigrationError || error instanceof ConfigError,
      String((error as Error).stack),
    );
    assert(error.message.startsWith("Cannot "), error.message);
    return true;
  }
}

Deno.test("a greeting that is read is the one that was written", () => {
  assertEquals(decodeHello(encodeHello(HELLO)), HELLO);
  const asked = { ...HELLO, postCopy: true, compress: ["zstd"] };
  assertEquals(decodeHello(encodeHello(asked)), asked);
});

Deno.test("what a sender asks for is what it is to send with", () => {
  assertEquals(asksOf({}), {});
  assertEquals(asksOf({ postCopy: false, compress: "none" }), {});
  for (const compress of ["zstd", "auto"]) {
    assertEquals(asksOf({ postCopy: true, compress }), { postCopy: true, compress: ["zstd"] });
  }
});

Deno.test("how memory may come is answered, and no answer is one too", () => {
  const follows: Welcome[] = [{ postCopy: true }, { postCopy: false, why: "because" }];
  for (const welcome of follows) {
    assertEquals(decodeWelcome(encodeWelcome(welcome)), welcome);
    const packed: Welcome = { ...welcome, compress: "zstd" };
    assertEquals(decodeWelcome(encodeWelcome(packed)), packed);
  }
  const { postCopy, compress } = decodeWelcome(encodeWelcome());
  assertEquals([postCopy, compress], [false, undefined]);
  // What was not offered is not taken.
  assertEquals(decodeWelcome(text({ postCopy: true, compress: "lz5" })).compress, undefined);
  const anything = fc.oneof(fc.uint8Array(), fc.jsonValue().map(text));
  fc.assert(fc.property(anything, (it) => void isRefused(() => decodeWelcome(it))));
});

Deno.test("a greeting in which something is wrong is refused by name", () => {
  const refused = (change: Record<string, unknown>, why: string) =>
    assertThrows(() => decodeHello(text({ ...HELLO, ...change })), Error, why);
  refused({ protocol: 2 }, "the other VMM speaks version 2, this one 1");
  refused({ handOver: "../x" }, "its greeting lacks what it must have");
  refused({ cpuids: [[entry]] }, "it does not say what its CPUs are");
  refused({ cpuids: [[entry], [{ ...entry, eax: 0.5 }]] }, "it does not say what its CPUs are");
  refused({ postCopy: "yes" }, "its greeting lacks what it must have");
  refused({ compress: "zstd" }, "its greeting lacks what it must have");
  refused({ compress: [1] }, "its greeting lacks what it must have");
  refused({ compress: new Array(17).fill("zstd") }, "its greeting lacks what it must have");
  refused({ plugged: [{ name: "block1" }] }, "it has no name, or no slot");
  refused({ config: { ...CONFIG, cpus: 99 } }, "the number of CPUs 99");
  assert(isRefused(() => decodeHello(new Uint8Array([0xff]))));
});

Deno.test("whatever a greeting says, it is taken or refused, and nothing else is thrown", () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({
      key: fc.constantFrom(...Object.keys(HELLO)),
      value: fc.oneof(fc.jsonValue(), fc.constant(HELLO.cpuids[0])),
    }).map(({ key, value }) => ({ ...HELLO, [key]: value })),
  );
  fc.assert(fc.property(value, (it) => void isRefused(() => decodeHello(text(it)))));
  fc.assert(fc.property(fc.uint8Array(), (it) => void isRefused(() => decodeHello(it))));
});

Deno.test("a header announces what may come, or is refused before anything is kept for it", () => {
  const frame = encodeFrame("failed", encodeReason("words"));
  assertEquals(decodeHeader(frame.slice(0, FrameHeader.size)), { kind: "failed", length: 5 });
  assertEquals(decodeReason(frame.subarray(FrameHeader.size)), "words");
  assertEquals(encodeReason("ä".repeat(5000)).length, 4096);
  const header = fc.uint8Array({ minLength: FrameHeader.size, maxLength: FrameHeader.size });
  const near = fc.record({ kind: fc.nat(16), length: fc.oneof(fc.nat(), fc.nat(100)) }).map(
    (it) => {
      const bytes = encodeFrame("go");
      return Object.assign(FrameHeader.at(bytes.buffer, 0), it).$bytes;
    },
  );
  fc.assert(fc.property(fc.oneof(header, near), (bytes) => {
    isRefused(() => {
      const { length } = decodeHeader(Uint8Array.from(bytes));
      assert(length <= 64 << 20);
    });
  }));
});
