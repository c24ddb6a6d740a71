/**
 * The host's storage, set up: what it stands on, when it is looked after, and what it tells the screen.
 *
 * @module
 */
import { syncAll, unmount } from "../../hypervisor/sys/mounts.ts";
import { dirname, exists, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import type { KeptSettings } from "../settings/kept.ts";
import { parseSettings } from "../settings/parse.ts";
import { HostStorage } from "../storage/host_storage.ts";
import { ScrubFile } from "../storage/kept_scrub.ts";
import type { OpenPool } from "../storage/pool.ts";
import { unusedInstall, type Wishes, wishesOf } from "../storage/wishes.ts";
import type { Coldplug } from "./coldplug.ts";
import type { LinuxDisks } from "./disks.ts";
import { attempt, log } from "./log.ts";
import { mountSeed } from "./seed.ts";
import type { StatusBoard } from "./status.ts";

/** How often the mirror is looked after. */
const WATCH_MS = 5000;
/** How often disks are asked how they are, and how soon the first time. */
const HEALTH_MS = 60 * 60 * 1000;
const FIRST_HEALTH_MS = 60 * 1000;

/** As many alarms as the screen has room for. */
const SHOWN_ALARMS = 4;

export interface StorageOptions {
  coldplug: Coldplug;
  disks: LinuxDisks;
  pool: OpenPool | null;
  bootId: string | null;
  kept: KeptSettings;
  /** Where the pool is mounted, and the file of settings on it. */
  data: string;
  settings: string;
  board: StatusBoard;
}

/** Looks after the storage from now on. */
export function startStorage(options: StorageOptions): HostStorage {
  const { coldplug, disks, pool, bootId, kept, data, settings, board } = options;
  const storage = new HostStorage({
    ...{ ground: disks, pool, bootId, sync: syncAll, log },
    scrub: {
      file: pool === null ? null : new ScrubFile(`${data}/host/scrub.json`),
      timeZone: () => kept.settings.timezone ?? "UTC",
      schedule: () => kept.settings.scrub ?? "monthly",
    },
    keepSchedule: (scrub) => kept.change({ scrub }),
    // What is installed comes up with this host's network and name; guests stay where they are.
    fill(folder) {
      if (!exists(settings)) return;
      const path = `${folder}/host/settings.json`;
      Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      writeFileDurably(path, Deno.readTextFileSync(settings));
    },
    onAlarms(alarms) {
      for (let i = 0; i < SHOWN_ALARMS; i++) board.problem(`storage ${i}`, alarms[i] ?? null);
    },
  });
  // The mirror's own changes are no change of what lies on the disks.
  coldplug.listen(({ env }) => {
    if (env.SUBSYSTEM === "block" && !env.DEVNAME?.startsWith("md")) disks.forget();
  });
  const watch = () => attempt("Cannot look after the storage", () => storage.watch());
  const ask = () => attempt("Cannot ask disks how they are", () => storage.askHealth());
  setInterval(watch, WATCH_MS);
  setTimeout(ask, FIRST_HEALTH_MS);
  setInterval(ask, HEALTH_MS);
  attempt("Cannot see whether to install", async () => {
    board.problem("install", unusedInstall(await disks.look(), wishesOf(kept.settings)));
  });
  watch();
  return storage;
}

/** What the file of settings says of disks, before there are data; the volume is let go of again. */
export async function readWishes(seedFolder: string): Promise<Wishes> {
  const { settings, importFolder, problem } = await mountSeed(seedFolder);
  if (settings !== null || importFolder !== null || problem !== null) unmount(seedFolder);
  const said = settings === null ? {} : parseSettings(settings).settings;
  return wishesOf({
    dataDisks: said.dataDisks ?? undefined,
    install: said.install ?? undefined,
  });
}
