import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { formatKept, KeptSettings, parseKept } from "./kept.ts";

const STATIC = Network.parse({
  bridges: [{ name: "br0", ipv4: { method: "static", address: "192.0.2.7/24" } }],
});

async function inFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await use(`${folder}/host/settings.json`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function boot(path: string, file: string | null) {
  const kept = new KeptSettings(path);
  return { problems: await kept.begin(file), kept };
}

Deno.test("what a file says is kept when the file is gone", () =>
  inFolder(async (path) => {
    assertEquals((await boot(path, null)).kept.settings, {});
    assertEquals((await boot(path, "hostname: lab\n")).problems, []);
    assertEquals((await boot(path, null)).kept.settings, { hostname: "lab" });
  }));

Deno.test("what the console changed stays until the file is another one", () =>
  inFolder(async (path) => {
    const file = "hostname: lab\nnetwork:\n";
    (await boot(path, file)).kept.change({ network: STATIC });
    assertEquals((await boot(path, file)).kept.settings, { hostname: "lab", network: STATIC });
    const other = (await boot(path, "hostname: den\n")).kept;
    assertEquals(other.settings, { hostname: "den", network: STATIC }, "not spoken of, so left");
    assertEquals(
      (await boot(path, file)).kept.settings,
      { hostname: "lab" },
      "null is the default",
    );
  }));

Deno.test("a mistake is told at each start, and leaves what was right before", () =>
  inFolder(async (path) => {
    await boot(path, "hostname: lab\n");
    const file = "ntp: [time.example]\nhostname: no_name\n";
    for (let i = 0; i < 2; i++) {
      const { kept, problems } = await boot(path, file);
      assertStringIncludes(problems.join(), "denovisor.yaml, line 2: hostname must be");
      assertEquals(kept.settings, { hostname: "lab", ntp: ["time.example"] });
    }
  }));

Deno.test("settings of another version, or broken ones, are told and not used", () => {
  const told = (text: string) => {
    const { kept, problems } = parseKept(text);
    assertEquals(kept.settings, {});
    return problems.join();
  };
  assertStringIncludes(told('{"version":2,"settings":{"hostname":"x"}}'), "version is 2");
  assertStringIncludes(told("{"), "not JSON");
  const part = parseKept('{"version":1,"settings":{"hostname":"x","ntp":"y"}}');
  assertEquals(part.kept.settings, { hostname: "x" });
  assertEquals(part.problems.length, 1);
});

Deno.test("what is kept is what was written, and no text is more than told", () => {
  const kept = { settings: { hostname: "lab", network: STATIC }, digest: "0".repeat(64) };
  assertEquals(parseKept(formatKept(kept)), { kept, problems: [] });
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (text) => {
    assert(Array.isArray(parseKept(text).problems));
  }));
});

Deno.test("what cannot be written is not taken for kept", () =>
  inFolder(async (path) => {
    const { kept } = await boot(path, null);
    Deno.writeTextFileSync(path.replace(/\/host\/.*/, "/host"), "in the way");
    assertThrows(() => kept.change({ hostname: "lab" }));
    assertEquals(kept.settings, {});
    assertStringIncludes((await boot(path, "hostname: lab\n")).problems.join(), "Cannot keep");
  }));

Deno.test("what cannot be read at a start is not written over, and is there at the next", () =>
  inFolder(async (path) => {
    await boot(path, "hostname: lab\nntp: [time.example]\n");
    const away = `${path}.away`;
    Deno.renameSync(path, away);
    // A link to itself fails to be read, but would be replaced by what is written.
    Deno.symlinkSync(path, path);
    const { kept, problems } = await boot(path, "hostname: den\n");
    assertStringIncludes(problems.join(), "Cannot read the kept settings: ");
    assertStringIncludes(problems.join(), "Cannot keep the settings: ");
    assertEquals(kept.settings, { hostname: "den" }, "the file's hold meanwhile");
    assertThrows(() => kept.change({ network: STATIC }), Error, "could not be read at the start");
    assertEquals(kept.settings, { hostname: "den" });
    assert(Deno.lstatSync(path).isSymlink);
    Deno.removeSync(path);
    Deno.renameSync(away, path);
    const { settings } = (await boot(path, "hostname: den\n")).kept;
    assertEquals(settings, { hostname: "den", ntp: ["time.example"] });
  }));
