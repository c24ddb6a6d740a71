import { assertEquals, assertThrows } from "@std/assert";
import { parseSoakOptions } from "./options.ts";

Deno.test("a soak is of one host, all of it, unless it is told otherwise", () => {
  assertEquals(parseSoakOptions([]), {
    hosts: 1,
    times: { saves: 100, forks: 100, sends: 50, upgrades: 50 },
  });
  assertEquals(parseSoakOptions(["--saves", "3", "--forks=0"]).times, {
    ...{ saves: 3, forks: 0, sends: 50, upgrades: 50 },
  });
  assertEquals(parseSoakOptions(["--hosts", "2"]), { hosts: 2, times: { moves: 50 } });
  assertEquals(parseSoakOptions(["--hosts", "2", "--moves", "7"]).times, { moves: 7 });
  assertEquals(parseSoakOptions(["--minutes", "600"]), { hosts: "all", times: { minutes: 600 } });
  assertEquals(parseSoakOptions(["--power-cuts", "200", "--plugs=0"]), {
    hosts: "appliance",
    times: { cuts: 200, starts: 5, plugs: 0, seed: 1, idle: 0, again: false, here: false },
  });
});

Deno.test("a command line that cannot be meant is refused by what is wrong with it", () => {
  const refused = {
    "--minutes 3 --saves 1": /"--saves" is not for --minutes/,
    "--minutes 3 --again": /"--again" is for --power-cuts/,
    "--hosts 3": /"--hosts 3" is not 1 or 2/,
    "--moves 3": /"--moves" is not for --hosts 1/,
    "--again": /"--again" is for --power-cuts/,
    "--hosts 2 --here": /"--here" is for --power-cuts/,
    "--plugs 3": /"--plugs" is not for --hosts 1/,
    "--power-cuts 3 --saves 1": /"--saves" is not for --power-cuts/,
    "--power-cuts some": /"--power-cuts some" is not a number of times/,
    "--hosts 2 --saves 3": /"--saves" is not for --hosts 2/,
    "--saves many": /"--saves many" is not a number of times/,
    "--saves -1": /not a number of times|no option/,
    "--sleeps 3": /there is no option "--sleeps"/,
    "3": /there is no option "3"/,
  };
  for (const [line, message] of Object.entries(refused)) {
    const error = assertThrows(() => parseSoakOptions(line.split(" ")), SyntaxError);
    assertEquals(message.test(error.message), true, error.message);
  }
});
