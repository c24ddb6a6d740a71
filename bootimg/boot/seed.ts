/**
 * Guests to import: a FAT volume with the label DENOVISOR and a folder `import` on it, which any PC
 * can write.
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
import { log, reason } from "./log.ts";
import { blockDevices, exists } from "./sysfs.ts";

/** Mounts the first such volume on `target`, read-only; returns the folder to import, or null. */
export async function mountSeed(target: string): Promise<string | null> {
  for (const { path } of blockDevices()) {
    try {
      using device = await Deno.open(path);
      if (fatLabel(await readAt(device, 0, 512)) !== SEED_LABEL) continue;
      mount("vfat", target, {
        source: path,
        flags: MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
        data: "iocharset=utf8",
      });
      const folder = `${target}/import`;
      if (exists(folder)) {
        log(`guests to import are on ${path}`);
        return folder;
      }
      unmount(target);
    } catch (error) {
      log(`${path}: ${reason(error)}`, "warning");
    }
  }
  return null;
}
