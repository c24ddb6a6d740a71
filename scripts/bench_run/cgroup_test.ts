import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseMemoryStat } from "./cgroup.ts";

Deno.test("what is charged is read by its name", () => {
  const text = "anon 4096\nkernel 1073741824\npagetables 8192\n";
  assertEquals(parseMemoryStat(text), { anon: 4096, kernel: 1073741824, pagetables: 8192 });
});

Deno.test("any text gives numbers", () => {
  fc.assert(fc.property(
    fc.string(),
    (text) => Object.values(parseMemoryStat(text)).every((it) => it >= 0),
  ));
});
