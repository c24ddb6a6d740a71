import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseTheme } from "./theme.ts";

Deno.test("the theme is told from cookies, and anything else is auto", () => {
  assertEquals(parseTheme("a=b; theme=dark; c=d"), "dark");
  assertEquals(parseTheme("theme=light"), "light");
  assertEquals(parseTheme("mytheme=dark"), "auto");
  assertEquals(parseTheme(null), "auto");
  fc.assert(fc.property(fc.string(), (text) => {
    if (!["light", "dark", "auto"].includes(parseTheme(text))) throw new Error(text);
  }));
});
