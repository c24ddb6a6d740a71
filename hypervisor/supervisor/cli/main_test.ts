import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { TestHost } from "../testing/test_host.ts";
import { mebibytes, parseCommandLine, UsageError, wholeNumber } from "./arguments.ts";
import { COMMANDS } from "./commands.ts";
import { run } from "./main.ts";
import { table } from "./table.ts";

/** Runs a command on a test's host and returns what it printed. */
async function cli(host: TestHost, ...args: string[]): Promise<{ code: number; text: string }> {
  let text = "";
  const errors: string[] = [];
  const { error } = console;
  console.error = (line: string) => errors.push(line);
  try {
    const socket = host.path("run/supervisor.sock");
    const code = await run(["--socket", socket, ...args], (part) => {
      text += part;
      return Promise.resolve();
    });
    return { code, text: text + errors.join("\n") };
  } finally {
    console.error = error;
  }
}

Deno.test("a guest's whole life from the command line", async () => {
  await using host = await TestHost.start();
  const file = host.path("kernel.img");
  Deno.writeFileSync(file, new Uint8Array(5000));
  assertEquals((await cli(host, "upload", "kernel", file)).code, 0);
  assertStringIncludes((await cli(host, "images")).text, "kernel  kernel.img  1 MiB  -");
  const created = await cli(
    host,
    ...["create", "web", "--kernel", "kernel.img", "--memory", "1G", "--cpus", "2"],
    ...["--disk", "1M", "--no-network"],
  );
  assertEquals(created.code, 0, created.text);
  assertStringIncludes(created.text, "web   stopped  2     1024 MiB  1 MiB");
  const { text } = await cli(host, "--json", "guests");
  const guest = JSON.parse(text);
  assertEquals([guest.name, guest.network, guest.autostart], ["web", false, false]);
  assertStringIncludes((await cli(host, "start", "web")).text, "running");
  assertStringIncludes((await cli(host, "start", guest.id)).text, "Cannot start a guest that is");
  assertEquals((await cli(host, "start", "web")).code, 1);
  const stopped = host.reaches(guest.id, "stopped");
  assertEquals((await cli(host, "stop", "web")).code, 0);
  await stopped;
  assertEquals((await cli(host, "delete", "web")).code, 0);
  assertEquals((await cli(host, "delete-image", "kernel", "kernel.img")).code, 0);
  assertEquals((await cli(host, "--json", "images")).text, "[]\n");
  assertStringIncludes((await cli(host, "host")).text, "memoryMiB");
  assertStringIncludes((await cli(host, "stop-all")).text, "All guests have stopped");
});

Deno.test("what is typed wrong is told, with how it goes", async () => {
  await using host = await TestHost.start();
  const wrong = [
    ["dance"],
    ["start"],
    ["start", "nobody"],
    ["create"],
    ["create", "web"],
    ["create", "web", "--kernel", "k", "--memory", "lots"],
    ["create", "web", "--colour", "red"],
    ["upload", "floppy", "/dev/null"],
    ["--loud", "guests"],
  ];
  for (const args of wrong) {
    const { code, text } = await cli(host, ...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(text, "Usage: denovisor");
  }
});

Deno.test("a refused body names its fields, and a host that is away is told", async () => {
  await using host = await TestHost.start();
  const { code, text } = await cli(host, "create", "Web", "--kernel", "k", "--cpus", "9");
  assertEquals(code, 1);
  assertStringIncludes(text, "cpus: ");
  assertStringIncludes(text, "name: must be 1 to 63");
  await host.down();
  assertEquals((await cli(host, "guests")).code, 1);
  await host.up();
});

Deno.test("help names every command", async () => {
  let text = "";
  const code = await run(["help"], (part) => {
    text += part;
    return Promise.resolve();
  });
  assertEquals(code, 0);
  for (const { name } of COMMANDS) assertStringIncludes(text, `  ${name}`);
});

Deno.test("any words are a command line or a usage error", () => {
  fc.assert(fc.property(fc.array(fc.string()), (args) => {
    try {
      const { rest } = parseCommandLine(args);
      assert(rest.length <= args.length);
    } catch (error) {
      assert(error instanceof UsageError);
    }
  }));
});

Deno.test("sizes and numbers are read, or refused", () => {
  assertEquals(["512", "512M", "2g", "1T"].map((text) => mebibytes(text, "memory")), [
    512,
    512,
    2048,
    1024 * 1024,
  ]);
  fc.assert(fc.property(fc.string(), (text) => {
    for (const read of [mebibytes, wholeNumber]) {
      try {
        assert(Number.isSafeInteger(read(text, "n")));
      } catch (error) {
        assert(error instanceof UsageError);
      }
    }
  }));
  assertThrows(() => wholeNumber("-1", "cpus"), UsageError, "--cpus must be a whole number");
});

Deno.test("a table's columns line up, and no cell moves the cursor", () => {
  assertEquals(table([["A", "B"], ["long", "x"], ["s", ""]]), "A     B\nlong  x\ns\n");
  fc.assert(fc.property(fc.array(fc.array(fc.string({ unit: "binary" }))), (rows) => {
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(table(rows)));
  }));
});
