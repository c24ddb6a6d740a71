import { assertEquals } from "@std/assert";
import { GuestName } from "../api/names.ts";
import { asideName } from "./set_aside.ts";

Deno.test("what is set aside has a name that a guest can have, and nobody has", () => {
  const taken = new Set(["web-declared-lost", "web-declared-lost-2"]);
  assertEquals(asideName("db", (name) => taken.has(name)), "db-declared-lost");
  assertEquals(asideName("web", (name) => taken.has(name)), "web-declared-lost-3");
  for (const name of ["a".repeat(63), `${"a".repeat(48)}-${"b".repeat(14)}`]) {
    assertEquals(GuestName.safeParse(asideName(name, () => false)).success, true);
  }
});
