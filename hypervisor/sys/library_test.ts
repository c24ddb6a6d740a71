import { assertEquals, assertThrows } from "@std/assert";
import { libraryOf } from "./library.ts";

Deno.test("a function is bound when it is first used, and only then", () => {
  const libc = libraryOf({
    getpid: { parameters: [], result: "i32" },
    no_such_function: { parameters: [], result: "i32" },
  });
  assertEquals(libc.symbols.getpid(), Deno.pid);
  const { getpid } = libc.symbols;
  assertEquals(libc.symbols.getpid, getpid);
  assertThrows(() => libc.symbols.no_such_function(), "no_such_function");
});
