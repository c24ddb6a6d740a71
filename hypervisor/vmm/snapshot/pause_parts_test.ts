import { assert, assertEquals } from "@std/assert";
import { PauseParts } from "./pause_parts.ts";

Deno.test("the parts of a pause are told in their order, and together they are the pause", async () => {
  const parts = new PauseParts();
  assertEquals(parts.figures, {});
  const began = performance.now();
  parts.begin();
  for (const part of ["leave", "memory", "rest"] as const) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    parts.end(part);
  }
  const ms = performance.now() - began;
  assertEquals(Object.keys(parts.figures), ["leave", "rest", "memory"]);
  const sum = Object.values(parts.figures).reduce((all, it) => all + it, 0);
  assert(sum > 14 && sum <= ms + 0.01, `${sum} of ${ms}`);
});
