import { assertEquals, assertStringIncludes } from "@std/assert";
import { MOST_BYTES } from "../settings/parse.ts";
import { readSeed, SETTINGS_FILE } from "./seed.ts";

async function onVolume(use: (volume: string) => Promise<void>): Promise<void> {
  const volume = Deno.makeTempDirSync();
  try {
    await use(volume);
  } finally {
    Deno.removeSync(volume, { recursive: true });
  }
}

Deno.test("a volume gives settings and guests, either, or nothing", () =>
  onVolume(async (volume) => {
    const nothing = { settings: null, importFolder: null, problem: null };
    assertEquals(await readSeed(volume), nothing);
    Deno.writeTextFileSync(`${volume}/${SETTINGS_FILE}`, "hostname: lab\n");
    assertEquals(await readSeed(volume), { ...nothing, settings: "hostname: lab\n" });
    Deno.mkdirSync(`${volume}/import`);
    assertEquals((await readSeed(volume)).importFolder, `${volume}/import`);
    Deno.writeTextFileSync(`${volume}/${SETTINGS_FILE}`, "#".repeat(MOST_BYTES + 99));
    assertEquals(
      (await readSeed(volume)).settings?.length,
      MOST_BYTES + 1,
      "no more than tells it",
    );
  }));

Deno.test("settings that cannot be read are told, and guests are taken all the same", () =>
  onVolume(async (volume) => {
    Deno.mkdirSync(`${volume}/${SETTINGS_FILE}`);
    Deno.mkdirSync(`${volume}/import`);
    const { settings, importFolder, problem } = await readSeed(volume);
    assertEquals([settings, importFolder], [null, `${volume}/import`]);
    assertStringIncludes(problem!, `Cannot read ${SETTINGS_FILE}: `);
  }));
