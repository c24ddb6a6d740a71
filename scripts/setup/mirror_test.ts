import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseArchives } from "./mirror.ts";

Deno.test("only Debian's own main archives are taken from apt's listing", () => {
  const listing = [
    "Packages|http://mirror.example/debian/|bookworm|main",
    "Packages|http://mirror.example/debian/|bookworm|contrib",
    "Packages|http://mirror.example/debian-security/|bookworm-security|main",
    "Packages|https://vendor.example/apt/|nodistro|main",
    "Translations|http://mirror.example/debian/|bookworm|main",
    "",
  ].join("\n");
  assertEquals(parseArchives(listing), [
    { uri: "http://mirror.example/debian", suite: "bookworm" },
    { uri: "http://mirror.example/debian-security", suite: "bookworm-security" },
  ]);
});

Deno.test("any text gives archives that are whole, or none", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    for (const archive of parseArchives(text)) {
      if (archive.uri === "" || archive.suite === "") return false;
    }
    return true;
  }));
});
