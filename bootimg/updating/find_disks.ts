/**
 * The disks that an update is written to.
 *
 * @module
 */
import { STATE_NAME } from "../disk/names.ts";
import type { SlotDisk } from "../slots/slots.ts";
import type { Ground } from "../storage/ground.ts";
import { findBoot } from "../storage/place.ts";
import { arrayOf } from "../storage/pool.ts";
import type { DiskFacts } from "../storage/facts.ts";

/**
 * The disk that was started from, and with it the other one of a mirror if both boot. A disk that was
 * left out of the mirror says nothing of what the others are to start.
 */
export async function findSystemDisks(
  ground: Ground,
  bootId: string | null,
): Promise<SlotDisk[]> {
  const disks = await ground.look();
  const tables = disks.flatMap((it) => it.table ? [{ disk: it, table: it.table }] : []);
  const own = findBoot(tables, bootId)?.disk;
  if (!own || !hasLoader(own)) return [];
  const members =
    arrayOf(ground)?.members.filter(({ state }) => state === "in-sync" || state === "rebuilding") ??
      [];
  const isMember = ({ partitions }: DiskFacts) =>
    partitions.some(({ name }) => members.some(({ device }) => device === name));
  const others = isMember(own)
    ? disks.filter((it) => it !== own && hasLoader(it) && isMember(it))
    : [];
  return [own, ...others].map(({ path, sectors }) => ({ path, sectors }));
}

function hasLoader({ table }: DiskFacts): boolean {
  return table?.partitions.some(({ name }) => name === STATE_NAME) ?? false;
}
