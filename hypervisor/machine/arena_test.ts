import { assert, assertEquals, assertThrows } from "@std/assert";
import { struct } from "../sys/struct.ts";
import { Arena, sectionsWithin } from "./arena.ts";

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
  assertThrows(() => place().place("clock", Clock, { version: 2 }), Error, "version 2");
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

Deno.test("an arena that is made of another's sections has every register, wherever they lie", () => {
  const arena = new Arena();
  arena.place("lock", Port, { local: true }).control = 9;
  arena.place("clock", Clock).seconds = 5;
  const part = arena.reserve("slot", 16 * 1024);
  arena.within(part, { fresh: true }).place("port", Port).control = 3;
  const saved = arena.sections();
  assertEquals([...saved.keys()], ["clock", "slot/port"]);
  arena.place("clock2", Clock);

  const other = new Arena(undefined, { saved });
  const slot = other.reserve("slot", 16 * 1024);
  assertEquals(other.place("later", Clock).seconds, 0);
  assertEquals(other.place("clock", Clock).seconds, 5);
  assertEquals(other.place("lock", Port, { local: true }).control, 0);
  const inner = other.within(slot, { fresh: true, saved: sectionsWithin(saved, "slot") });
  assertEquals(inner.place("port", Port).control, 3);
  // What another thread finds there is not filled once more.
  const thread = new Arena(other.buffer, { saved });
  thread.reserve("slot", 16 * 1024);
  thread.place("later", Clock);
  const clock = thread.place("clock", Clock);
  clock.seconds = 6;
  assertEquals(other.sections().get("clock")!.bytes[0], 6);
});

Deno.test("sections that lie there already get what was saved", () => {
  const layout = struct("clock", { ticks: "u32" });
  const [arena, other] = [new Arena(), new Arena()];
  arena.place("clock", layout).ticks = 7;
  const clock = other.place("clock", layout);
  const local = other.place("local", layout, { local: true });
  const later = other.place("later", layout);
  clock.ticks = local.ticks = later.ticks = 1;
  other.load(arena.sections());
  assertEquals([clock.ticks, local.ticks, later.ticks], [7, 1, 1]);
  const wide = new Arena();
  wide.place("clock", struct("clock", { ticks: "u64" }));
  assertThrows(() => other.load(wide.sections()), RangeError, 'Cannot restore "clock"');
});

Deno.test("a section that was saved with another layout is refused", () => {
  const arena = new Arena();
  arena.place("clock", Clock);
  const restored = () => new Arena(undefined, { saved: arena.sections() });
  assertThrows(
    () => restored().place("clock", Port),
    RangeError,
    'Cannot restore "clock": it was saved as version 1 with 16 bytes',
  );
  assertThrows(() => restored().place("clock", Clock, { version: 2 }), RangeError, "version 2");
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

Deno.test("an arena that was placed before is filled with what was saved", () => {
  const arena = new Arena();
  arena.place("clock", Clock).seconds = 6;
  arena.place("lock", Clock, { local: true }).seconds = 1;
  const saved = arena.sections();
  const later = new Arena();
  const clock = later.place("clock", Clock);
  const lock = later.place("lock", Clock, { local: true });
  const added = later.place("added", Port);
  [clock.seconds, lock.seconds, added.control] = [2, 3, 4];
  later.load(saved);
  // What is of this process only, and what was not saved, stays as it is.
  assertEquals([clock.seconds, lock.seconds, added.control], [6, 3, 4]);
  const other = new Arena();
  other.place("clock", Port);
  assertThrows(() => other.load(saved), RangeError, 'Cannot restore "clock"');
});
