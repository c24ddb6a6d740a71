import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PowerCut } from "../testing/power_cut.ts";
import { forgetCopies, ownerOf, systemKey } from "./copies.ts";
import { KeptSettings } from "./kept.ts";
import { migrate } from "./migrate.ts";

const OLD = systemKey("image", "1.0.0");
const NEW = systemKey("a", "2.0.0");

async function inFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await use(`${folder}/host/settings.json`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function boot(path: string, system: string): Promise<KeptSettings> {
  const kept = new KeptSettings(path);
  assertEquals(await kept.begin(null, system), []);
  return kept;
}

Deno.test("a newer system begins with the settings of before, and going back brings those back", () =>
  inFolder(async (path) => {
    (await boot(path, OLD)).change({ hostname: "lab" });
    const newer = await boot(path, NEW);
    assertEquals(newer.settings, { hostname: "lab" });
    newer.change({ hostname: "den" });
    assertEquals((await boot(path, OLD)).settings, { hostname: "lab" });
    // Nobody has written to its slot: it is the system that it was.
    (await boot(path, OLD)).change({ ntp: ["time.example"] });
    assertEquals((await boot(path, NEW)).settings, { hostname: "lab", ntp: ["time.example"] });
  }));

Deno.test("a host without settings has none again when it goes back", () =>
  inFolder(async (path) => {
    await boot(path, OLD);
    (await boot(path, NEW)).change({ hostname: "den" });
    assertEquals((await boot(path, OLD)).settings, {});
  }));

Deno.test("another version in the same place is another system", () =>
  inFolder(async (path) => {
    (await boot(path, OLD)).change({ hostname: "one" });
    (await boot(path, NEW)).change({ hostname: "two" });
    (await boot(path, systemKey("b", "3.0.0"))).change({ hostname: "three" });
    forgetCopies(path, "a");
    assertEquals((await boot(path, NEW)).settings, { hostname: "three" });
    assertEquals((await boot(path, OLD)).settings, { hostname: "one" });
    forgetCopies("/nowhere/settings.json", "a");
  }));

Deno.test("whenever the power goes, the settings are those of before or the newer ones", () =>
  inFolder(async (path) => {
    for (let at = 0, isOver = false; !isOver; at++) {
      await Deno.remove(path.replace(/\/host\/.*/, "/host"), { recursive: true }).catch(() => {});
      (await boot(path, OLD)).change({ hostname: "lab" });
      {
        using cut = new PowerCut(at);
        try {
          const newer = new KeptSettings(path);
          await newer.begin(null, NEW);
          newer.change({ hostname: "den" });
          await new KeptSettings(path).begin(null, OLD);
        } catch {
          // The power has gone.
        }
        isOver = !cut.hasCut;
        assert(at < 100);
      }
      assertEquals((await boot(path, OLD)).settings, { hostname: "lab" }, `cut at ${at}`);
    }
  }));

Deno.test("any text has an owner of the right form, or none", () => {
  assertEquals(ownerOf(`{"system":"${NEW}"}`), NEW);
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
    const owner = ownerOf(text);
    assert(owner === null || !owner.includes("/"));
  }));
  for (const owner of ["../x-1", "a-", "c-1.0.0", 5, null]) {
    assertEquals(ownerOf(JSON.stringify({ system: owner })), null);
  }
  assertEquals(systemKey("a", "of unknown version"), "other-unknown");
});

Deno.test("settings of earlier forms go through each form up to this one", () => {
  const steps = {
    1: ({ name, ...rest }: Record<string, unknown>) => ({ ...rest, hostname: name }),
    2: ({ hostname, ...rest }: Record<string, unknown>) => ({ ...rest, settings: { hostname } }),
  };
  const of = (value: Record<string, unknown>) => migrate(value, { to: 3, steps });
  assertEquals(of({ version: 1, name: "x" }), { version: 3, settings: { hostname: "x" } });
  assertEquals(of({ version: 2, hostname: "x" }), { version: 3, settings: { hostname: "x" } });
  assertEquals(of({ version: 3, name: "x" }), { version: 3, name: "x" });
  for (const version of [0, 4, "1", null, 1.5, NaN]) assertEquals(of({ version }), null);
});
