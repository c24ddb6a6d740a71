import { assertEquals } from "@std/assert";
import { quoted } from "./lab_pc/machine.ts";
import fc from "fast-check";

Deno.test("a quoted word is one line, and the shell reads it back as it was", async () => {
  const words = fc.sample(fc.string({ unit: "grapheme" }), { seed: 7, numRuns: 200 })
    .concat("'", "a'b", "a\nb", "\n", "", "$HOME `x`", "--", "a b")
    .map((word) => word.replaceAll("\0", ""));
  for (const word of words) assertEquals(quoted(word).includes("\n"), false);
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", `printf '%s\\0' ${words.map(quoted).join(" ")}`],
    env: { LC_ALL: "C.UTF-8" },
  }).output();
  assertEquals(new TextDecoder().decode(stdout).split("\0").slice(0, -1), words);
});
