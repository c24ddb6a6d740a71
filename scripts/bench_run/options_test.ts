import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseBenchOptions } from "./options.ts";
import { BENCHES } from "./rows.ts";

Deno.test("without names everything is measured, and names choose in the usual order", () => {
  assertEquals(parseBenchOptions([]).chosen, BENCHES.filter((it) => it !== "migrate-hosts"));
  for (const names of [[], ["migrate"]]) {
    assertEquals(parseBenchOptions(["--hosts", "2", ...names]).chosen, ["migrate-hosts"]);
  }
  const options = parseBenchOptions(["net", "--rounds", "7", "boot", "--seconds=2"]);
  assertEquals(options.chosen, ["boot", "net"]);
  assertEquals([options.rounds, options.seconds, options.guests], [7, 2, 50]);
});

Deno.test("an option or a name that is not there, or out of range, is refused by name", () => {
  assertThrows(() => parseBenchOptions(["--fast"]), SyntaxError, '"--fast"');
  assertThrows(() => parseBenchOptions(["speed"]), SyntaxError, '"speed"');
  assertThrows(() => parseBenchOptions(["--rounds", "0"]), RangeError, "from 1 to 99");
  assertThrows(() => parseBenchOptions(["--rounds"]), RangeError, "--rounds");
  assertThrows(() => parseBenchOptions(["migrate-hosts"]), SyntaxError, '"migrate-hosts"');
  assertThrows(() => parseBenchOptions(["--hosts", "2", "net"]), SyntaxError, "over 2 hosts");
  assertThrows(() => parseBenchOptions(["--hosts", "3"]), RangeError, "from 1 to 2");
  assertThrows(() => parseBenchOptions(["--hosts", "2", "--native"]), RangeError, "natively");
});

Deno.test("any arguments give valid options or an error that says what was wrong", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("--rounds", "--guests", "--native", "--readme", "net", "5"),
  );
  fc.assert(fc.property(fc.array(word), (args) => {
    try {
      const { chosen, rounds, guests } = parseBenchOptions(args);
      return chosen.length > 0 && rounds >= 1 && guests >= 1;
    } catch (error) {
      return (error as Error).message.startsWith("Cannot ");
    }
  }));
});
