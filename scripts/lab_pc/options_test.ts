import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseLabOptions } from "./options.ts";

Deno.test("what follows the options is the command, its own options included", () => {
  const options = parseLabOptions(["--cpus", "4", "--disk", "512M", "--", "ls", "--native"]);
  assertEquals(options.command, ["ls", "--native"]);
  assertEquals(options.native, false);
  assertEquals(options.cpus, 4);
  assertEquals(options.disks, [512 * 2 ** 20]);
  assertEquals(parseLabOptions(["ls", "--", "x"]).command, ["ls", "--", "x"]);
});

Deno.test("an option that is unknown, incomplete or out of range is refused by name", () => {
  assertThrows(() => parseLabOptions(["--fast", "ls"]), SyntaxError, '"--fast"');
  assertThrows(() => parseLabOptions(["--cpus"]), SyntaxError, "needs a value");
  assertThrows(() => parseLabOptions(["--cpus", "0", "ls"]), RangeError, "from 1 to 8");
  assertThrows(() => parseLabOptions(["--memory", "1e9", "ls"]), RangeError, "1024 to 16384");
  assertThrows(() => parseLabOptions(["--disk", "8", "ls"]), SyntaxError, "512M");
  assertThrows(() => parseLabOptions(["--hosts", "3", "ls"]), RangeError, "from 1 to 2");
  assertThrows(
    () => parseLabOptions(["--native", "--hosts", "2", "ls"]),
    RangeError,
    "Cannot run natively on 2 hosts",
  );
  assertThrows(() => parseLabOptions([]), SyntaxError, "no COMMAND");
});

Deno.test("any arguments give valid options or an error that says what was wrong", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "--cpus",
      "--memory",
      "--disk",
      "--native",
      "--hosts",
      "--",
      "2",
      "4",
      "2048",
      "8G",
    ),
  );
  fc.assert(fc.property(fc.array(word), (args) => {
    try {
      const options = parseLabOptions(args);
      return options.command.length > 0 && options.cpus >= 1 && options.cpus <= 8 &&
        options.hosts >= 1 && options.hosts <= (options.native ? 1 : 2) &&
        options.memoryMiB >= 1024 && options.disks.every((size) => size % 512 === 0 && size > 0);
    } catch (error) {
      return (error instanceof SyntaxError || error instanceof RangeError) &&
        error.message.startsWith("Cannot ");
    }
  }));
});
