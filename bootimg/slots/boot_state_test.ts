import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BootState,
  encodeState,
  FIRST_STATE,
  parseState,
  STATE_AT,
  STATE_BYTES,
  statePartition,
} from "./boot_state.ts";

const slots = fc.constantFrom("a", "b", null);
const states: fc.Arbitrary<BootState> = fc.record({
  good: fc.constantFrom("a", "b", "image"),
  try: slots,
  tried: slots,
});

Deno.test("the state reads back as it was written", () => {
  fc.assert(fc.property(states, (state) => assertEquals(parseState(encodeState(state)), state)));
});

Deno.test("whatever is written, one sector alone is another", () => {
  fc.assert(fc.property(states, states, (before, after) => {
    const [old, young] = [encodeState(before), encodeState(after)];
    assertEquals(old.length, STATE_BYTES);
    assertEquals(old.subarray(512), young.subarray(512));
  }));
});

Deno.test("a state that is damaged is the image's, and never an error", () => {
  assertEquals(parseState(new Uint8Array(STATE_BYTES)), FIRST_STATE);
  assertEquals(parseState(new Uint8Array()), FIRST_STATE);
  fc.assert(fc.property(states, fc.array(fc.tuple(fc.nat(100), fc.nat(255))), (state, edits) => {
    const bytes = encodeState(state);
    for (const [at, byte] of edits) bytes[at] = byte;
    const read = parseState(bytes);
    assertEquals(["a", "b", "image"].includes(read.good), true);
    for (const it of [read.try, read.tried]) assertEquals(["a", "b", null].includes(it), true);
  }));
});

Deno.test("in its partition the state begins at a sector, and fits", () => {
  const bytes = statePartition(FIRST_STATE);
  assertEquals(STATE_AT % 512, 0);
  assertEquals(parseState(bytes.subarray(STATE_AT)), FIRST_STATE);
  assertEquals(bytes.length <= 8 * 512, true);
});
