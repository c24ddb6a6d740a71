/**
 * Deleting all that a host keeps, as its menu offers: marked at once, and done at the next start
 * before anything of it is used. The mark goes last, so that a power cut on the way is made good by
 * the start after it.
 *
 * @module
 */
import { syncDirectory, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import { exists } from "./sysfs.ts";

const MARK = "erase-everything";

/** Returns once the next start will delete all that is in `data`. */
export function markErase(data: string): void {
  writeFileDurably(`${data}/${MARK}`, `${new Date().toISOString()}\n`);
}

/** Deletes all that is in `data`, if that was asked for; returns whether it was. */
export async function eraseIfMarked(
  data: string,
  remove: (path: string) => Promise<void> = (path) => Deno.remove(path, { recursive: true }),
): Promise<boolean> {
  if (!exists(`${data}/${MARK}`)) return false;
  for (const { name } of [...Deno.readDirSync(data)]) {
    if (name !== MARK) await remove(`${data}/${name}`);
  }
  syncDirectory(data);
  Deno.removeSync(`${data}/${MARK}`);
  syncDirectory(data);
  return true;
}
