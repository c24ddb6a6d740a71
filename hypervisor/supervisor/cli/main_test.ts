import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { TestHost } from "../testing/test_host.ts";
import { SharedDirectory } from "../testing/two_hosts.ts";
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
    ...["--disk", "1M", "--no-network", "--start-order", "3,20"],
  );
  assertEquals(created.code, 0, created.text);
  assertStringIncludes(created.text, "web   stopped  2     1024 MiB  1 MiB");
  const { text } = await cli(host, "--json", "guests");
  const guest = JSON.parse(text);
  assertEquals([guest.name, guest.nets, guest.autostart], ["web", [], false]);
  assertEquals(guest.startOrder, { place: 3, delaySeconds: 20 });
  const ordered = async (order: string) => {
    await cli(host, "change", "web", "--start-order", order);
    return JSON.parse((await cli(host, "--json", "guests")).text).startOrder;
  };
  assertEquals(await ordered("7"), { place: 7, delaySeconds: 0 });
  assertEquals(await ordered("none"), null);
  assertStringIncludes(
    (await cli(host, "change", "web", "--start-order", "1,2,3")).text,
    "or none",
  );
  assertStringIncludes((await cli(host, "change", "web", "--start-order", "0")).text, "at least 1");
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

Deno.test("a disk on a store, and the store", async () => {
  using store = new SharedDirectory();
  await using host = await TestHost.start(store.a);
  await host.image("kernel", "k");
  const { text } = await cli(host, "host");
  assertMatch(text, new RegExp(`^store +nas at ${store.path}, [0-9]+ of [0-9]+ MiB free$`, "m"));
  await cli(host, "create", "web", "--kernel", "k", "--disk", "1M,store=nas,name=data");
  assertMatch((await cli(host, "disks", "web")).text, /^data +1 MiB +nas +-/m);
  const refused = await cli(host, "add-disk", "web", "1M,store=san");
  assertStringIncludes(refused.text, 'Cannot use the store "san"');
  Deno.removeSync(store.path, { recursive: true });
  await host.supervisor.guests.ground.disks.shared.look();
  assertStringIncludes((await cli(host, "host")).text, "cannot be used: there is no directory");
});

Deno.test("disks, cards and settings of a running guest from the command line", async () => {
  await using host = await TestHost.start();
  await host.image("kernel", "k");
  await host.image("disk", "d.raw", 1000);
  const ok = async (...args: string[]) => {
    const { code, text } = await cli(host, ...args);
    assertEquals(code, 0, `${args.join(" ")}: ${text}`);
    return text;
  };
  await ok(
    ...["create", "web", "--kernel", "k", "--memory", "128M", "--disk", "image=d.raw"],
    ...["--disk", "2M,name=data,cache=direct", "--net", "mtu=1400", "--addable", "1G"],
  );
  await ok("start", "web");
  assertStringIncludes(
    await ok("disks", "web"),
    "data  2 MiB  -      -      direct  -      yes       in use",
  );
  // It is plugged in by itself.
  assertStringIncludes(await ok("add-disk", "web", "1M,name=more"), "plugged in");
  assertStringIncludes(await ok("change-disk", "web", "more", "size=3M,bytes=1M"), "1048576 B/s");
  assertStringIncludes(await ok("unplug-disk", "web", "more"), "being unplugged");
  const { id } = host.supervisor.guests.list()[0];
  await host.until(id, ({ disks }) => disks[2].attached === null);
  assert(!(await ok("delete-disk", "web", "more")).includes("more"));
  const refused = await cli(host, "delete-disk", "web", "data");
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.text, "the running guest uses it");

  assertStringIncludes(await ok("add-net", "web", "mac=52:54:00:00:00:05"), "plugged in");
  assertStringIncludes(await ok("change-net", "web", "2", "link=down"), "down");
  await ok("unplug-net", "web", "52:54:00:00:00:05");
  assertStringIncludes(await ok("nets", "web"), "1400");

  assertStringIncludes(await ok("change", "web", "--added", "256M", "--balloon", "32M"), "384 MiB");
  assertStringIncludes(
    await ok("change", "web", "--cpus", "2", "--nested", "yes"),
    "at its next start changes cpus, cpu.nested",
  );
  await ok("pause", "web");
  await host.until(id, ({ pausedFor }) => pausedFor !== null);
  assertStringIncludes(await ok("guests"), "web is paused: It was told to pause");
  await ok("resume", "web");
});

Deno.test("what cloud-init tells a guest is given as files, shown, and taken away", async () => {
  await using host = await TestHost.start();
  await host.image("kernel", "k");
  const file = (name: string, text: string) => {
    Deno.writeTextFileSync(host.path(name), text);
    return host.path(name);
  };
  const key = `ssh-ed25519 ${btoa("\0\0\0\x0bssh-ed25519\0\0\0\x20key")}`;
  const userData = file("user", "\ufeff#cloud-config\nruncmd: [reboot]\n");
  const keys = file("keys", `# mine\n${key} me@home\r\n\n${key}\n`);
  const created = await cli(
    host,
    ...["create", "web", "--kernel", "k", "--user-data", userData, "--ssh-key", keys],
    ...["--hostname", "web.example.org"],
  );
  assertEquals(created.code, 0, created.text);
  const { text } = await cli(host, "cloud-init", "web");
  assertStringIncludes(text, "web.example.org");
  assertStringIncludes(text, `ssh-key      ${key} me@home\n`);
  assertStringIncludes(text, "user-data:\n#cloud-config\nruncmd: [reboot]");
  const all = async () => JSON.parse((await cli(host, "--json", "cloud-init", "web")).text);
  const { instanceId, sshKeys } = await all();
  assertEquals(sshKeys.length, 2);

  const config = file("config", "version: 2\nethernets: [eth0]\n");
  const refused = await cli(host, "change", "web", "--network-config", config);
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.text, "cloudInit.networkConfig: line 2: ethernets must have names");
  const change = async (...args: string[]) => {
    const { code, text } = await cli(host, "change", "web", ...args);
    assertEquals(code, 0, text);
    return await all();
  };
  const emptied = await change("--user-data=-", "--ssh-key=-", "--hostname=-");
  assertEquals(emptied, {
    ...{ instanceId, hostname: null, userData: null, networkConfig: null, sshKeys: [] },
  });
  const renewed = await change("--new-instance");
  assertEquals(renewed.instanceId !== instanceId, true);
  assertEquals((await cli(host, "change", "web", "--cloud-init", "no")).code, 0);
  assertEquals((await cli(host, "cloud-init", "web")).code, 1);
  await change("--cloud-init", "yes");

  const long = file("long", "#".repeat(100_000));
  for (const path of [long, host.path("nowhere"), host.path("keys")]) {
    const { code, text } = await cli(host, "change", "web", "--user-data", path);
    assertEquals(code !== 0, true, text);
  }
  const both = ["--cloud-init", "no", "--hostname", "web"];
  assertEquals((await cli(host, "change", "web", ...both)).code, 2);
  assertEquals((await cli(host, "change", "web", "--cloud-init", "no", "--new-instance")).code, 2);
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
    ["create", "web", "--kernel", "k", "--disk", "colour=red"],
    ["create", "web", "--kernel", "k", "--net", "mtu=1400", "--no-network"],
    ["change", "web"],
    ["change", "web", "--nested", "maybe"],
    ["add-disk", "web"],
    ["upload", "floppy", "/dev/null"],
    ["upgrade"],
    ["upgrade", "web", "--all"],
    ["upgrade", "nobody"],
    ["--loud", "guests"],
  ];
  for (const args of wrong) {
    const { code, text } = await cli(host, ...args);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(text, "Usage: denovisor");
  }
});

Deno.test("a guest's VMM is upgraded from the command line, and how that went is told", async () => {
  await using host = await TestHost.start();
  await host.image("kernel", "k");
  for (const [name, cmdline] of [["web", ""], ["held", "no-upgrade"]]) {
    const { id } = await host.guest({ name, cmdline });
    await host.start(id);
  }
  const done = await cli(host, "upgrade", "web");
  assertEquals(done.code, 0, done.text);
  assertStringIncludes(done.text, "web   done     1.5 ms       -");
  const failed = await cli(host, "upgrade", "held");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.text, "held  failed   -");
  assertStringIncludes(failed.text, "it was told not to");
  assertStringIncludes(failed.text, "Not upgraded: held");
  // All of them are of the release that is installed.
  const all = await cli(host, "--json", "upgrade", "--all");
  assertEquals([all.code, all.text], [0, "[]\n"]);
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
