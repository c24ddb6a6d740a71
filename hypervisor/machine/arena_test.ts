import { assert, assertEquals, assertThrows } from "@std/assert";
import { struct } from "../sys/struct.ts";
import { Arena } from "./arena.ts";

const Clock = struct("clock", { seconds: "u32", ticks: ["u32", 3] });
const Port = struct("port", { control: "u8" });

Deno.test("threads that place the same layouts in the same order see the same registers", () => {
  const one = new Arena();
  const clock = one.place("clock", Clock);
  const port = one.place("port", Port);
  const other = new Arena(one.buffer);
  const sameClock = other.place("clock", Clock);
  const samePort = other.place("port", Port);
  clock.seconds = 7;
  clock.ticks[2] = 9;
  samePort.control = 3;
  assertEquals([sameClock.seconds, sameClock.ticks[2], port.control], [7, 9, 3]);
});

Deno.test("sections do not share a cache line", () => {
  const arena = new Arena();
  const offsets = ["a", "b", "c"].map((name) => arena.place(name, Port).$bytes.byteOffset);
  for (const offset of offsets) assertEquals(offset % 64, 0);
  assertEquals(new Set(offsets).size, 3);
});

Deno.test("a thread with another layout, name or version is refused", () => {
  const first = new Arena();
  first.place("clock", Clock);
  const place = () => new Arena(first.buffer);
  assertThrows(() => place().place("clock", Port), Error, 'Cannot place "clock"');
  assertThrows(() => place().place("clocks", Clock), Error, "another layout lies there");
  assertThrows(() => place().place("cloc", Clock), Error, "another layout lies there");
  assertThrows(() => place().place("clock", Clock, 2), Error, "version 2");
  place().place("clock", Clock);
});

Deno.test("what does not fit is refused: bytes, sections, names", () => {
  const arena = new Arena(new SharedArrayBuffer(48 * 1024));
  const large = struct("large", { bytes: ["u8", 32 * 1024] });
  assertThrows(() => arena.place("large", large), RangeError, "do not fit");
  assertThrows(() => arena.place("n".repeat(49), Port), RangeError, "name is too long");
  arena.place("n".repeat(48), Port);
  const many = new Arena();
  for (let i = 0; i < 512; i++) many.place(`${i}`, Port);
  assertThrows(() => many.place("512", Port), RangeError, "do not fit");
});

Deno.test("a copy of the arena has every register", () => {
  const arena = new Arena();
  arena.place("clock", Clock).seconds = 5;
  const copy = new SharedArrayBuffer(arena.buffer.byteLength);
  new Uint8Array(copy).set(new Uint8Array(arena.buffer));
  const restored = new Arena(copy).place("clock", Clock);
  assertEquals(restored.seconds, 5);
  assert(restored.$bytes.buffer === (copy as unknown as ArrayBuffer));
});

Deno.test("an arena within another is taken by one set of sections after the other", () => {
  const outer = new Arena();
  const part = outer.reserve("slot", 16 * 1024);
  const after = outer.place("after", Clock);
  after.seconds = 7;
  outer.within(part, { fresh: true }).place("clock", Clock).seconds = 5;
  // What another thread finds there.
  const other = new Arena(outer.buffer);
  const same = other.reserve("slot", 16 * 1024);
  assertEquals(other.within(same).place("clock", Clock).seconds, 5);
  assertThrows(() => other.within(same).place("port", Port), Error, "another layout lies there");
  const port = outer.within(part, { fresh: true }).place("port", Port);
  assert(port.$bytes.every((byte) => byte === 0));
  assertEquals(after.seconds, 7);
  const large = struct("large", { bytes: ["u8", 14 * 1024] });
  assertThrows(() => outer.within(part).place("large", large), RangeError, "do not fit");
});
