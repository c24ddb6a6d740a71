import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { deserialize, serialize } from "./serialize.ts";

const roundTrip = (value: unknown) => deserialize(serialize(value));

Deno.test("any value comes back as it was", () => {
  fc.assert(
    fc.property(
      fc.anything({
        withBigInt: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withNullPrototype: false,
      }),
      (value) => assertEquals(roundTrip(value), value),
    ),
    { numRuns: 300 },
  );
});

Deno.test("what is not text of ours is refused with an error, never a wrong value", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        deserialize(text);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
      }
    }),
    { numRuns: 300 },
  );
  assertThrows(() => deserialize('[["Nope",1],2]'), SyntaxError, "Nope");
  assertThrows(() => deserialize("[[5]]"), SyntaxError, "there are 1");
});

Deno.test("types that JSON lacks come back", () => {
  const value = { url: new URL("http://a/b"), re: /a+/gi, bytes: new Uint8Array([1, 255]), no: -0 };
  assertEquals(roundTrip(value), value);
});

Deno.test("one object in two places stays one, and cycles stay cycles", () => {
  const shared = { n: 1 };
  const value: Record<string, unknown> = { a: shared, b: shared };
  value.self = value;
  const back = roundTrip(value) as typeof value;
  assertStrictEquals(back.a, back.b);
  assertStrictEquals(back.self, back);
});

Deno.test("__proto__ is a property like any other", () => {
  const back = roundTrip(JSON.parse('{"__proto__":{"evil":1}}')) as Record<string, unknown>;
  assertEquals(Object.keys(back), ["__proto__"]);
  assertEquals(({} as Record<string, unknown>).evil, undefined);
});

Deno.test("a function is refused with the path to it", () => {
  assertThrows(
    () => serialize({ a: [{ f: () => 1 }] }),
    TypeError,
    "props.a[0].f",
  );
});
