/**
 * What any PC can give this host along: a FAT volume with the label DENOVISOR, with a file of settings
 * and a folder `import` of guests on it.
 *
 * @module
 */
import {
  mount,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  unmount,
} from "../../hypervisor/sys/mounts.ts";
import { readAt } from "../disk/disk_table.ts";
import { fatLabel } from "../disk/fat.ts";
import { SEED_LABEL } from "../disk/names.ts";
import { MOST_BYTES } from "../settings/parse.ts";
import { log, reason } from "./log.ts";
import { blockDevices, exists } from "./sysfs.ts";

/** The file of settings on the volume. */
export const SETTINGS_FILE = "denovisor.yaml";

/** What is on the volume; null what is not. */
export interface Seed {
  /** The text of the file of settings: as much of it as may be, and a little more. */
  settings: string | null;
  /** The folder of guests. */
  importFolder: string | null;
  /** Why there is a file of settings that cannot be read. */
  problem: string | null;
}

/** Mounts the first such volume on `target`, read-only. */
export async function mountSeed(target: string): Promise<Seed> {
  for (const { path } of blockDevices()) {
    try {
      using device = await Deno.open(path);
      if (fatLabel(await readAt(device, 0, 512)) !== SEED_LABEL) continue;
      mount("vfat", target, {
        source: path,
        flags: MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
        data: "iocharset=utf8",
      });
      const seed = await readSeed(target);
      const { settings, importFolder, problem } = seed;
      if (importFolder !== null) log(`guests to import are on ${path}`);
      if (settings !== null) log(`settings are on ${path}`);
      if (problem !== null) log(`${path}: ${problem}`, "error");
      if (importFolder !== null || settings !== null || problem !== null) return seed;
      unmount(target);
    } catch (error) {
      log(`${path}: ${reason(error)}`, "warning");
    }
  }
  return { settings: null, importFolder: null, problem: null };
}

/** What is in a folder that such a volume is mounted on. Settings that cannot be read stop no guests. */
export async function readSeed(target: string): Promise<Seed> {
  const folder = `${target}/import`;
  const seed: Seed = {
    settings: null,
    importFolder: exists(folder) ? folder : null,
    problem: null,
  };
  try {
    using file = await Deno.open(`${target}/${SETTINGS_FILE}`);
    seed.settings = new TextDecoder().decode(await readAt(file, 0, MOST_BYTES + 1));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return seed;
    seed.problem = `Cannot read ${SETTINGS_FILE}: ${reason(error)}`;
  }
  return seed;
}
