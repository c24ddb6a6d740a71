/**
 * Adding a disk to the pool, and taking one out of it, while guests run.
 *
 * @module
 */
import { writeTable } from "../disk/disk_table.ts";
import type { PartitionTable } from "../disk/gpt.ts";
import { DATA_NAME, MIRROR_NAME, UNFINISHED_NAME } from "../disk/names.ts";
import { ARRAY_DEVICE } from "./array.ts";
import { copyBodies, copyHeads, eraseEnds, eraseMarks, withoutBlanks } from "./erase.ts";
import type { DiskFacts } from "./facts.ts";
import type { DiskRef, Ground } from "./ground.ts";
import { planDisk } from "./place.ts";
import { arrayOf, nameDataOn } from "./pool.ts";

export interface AddOptions {
  target: DiskFacts;
  /** The disk that this system was booted from, to boot from the new one as well. */
  boot: { path: string; table: PartitionTable } | null;
  /** The disks that the pool is on now. */
  members: readonly DiskRef[];
  /** What the new partition must have at least. */
  neededSectors: number;
}

/**
 * Makes a disk the other half of the pool, or a new half for one that is gone; what is on it is lost.
 * Returns once it is being brought in step, which goes on by itself, also over starts. A power cut on
 * the way leaves the pool as it was, and on the disk what nobody takes for data.
 */
export async function addToPool(ground: Ground, options: AddOptions): Promise<void> {
  const { target, boot, members, neededSectors } = options;
  const plan = planDisk(target.sectors, {
    source: boot?.table ?? null,
    needed: neededSectors,
    mayLackBoot: true,
    dataName: MIRROR_NAME,
  });
  await takeOutFailed(ground);
  await eraseMarks(target);
  await writeTable(target.path, plan.unfinished, target.sectors);
  const device = await ground.showPartition(target, plan.data.number);
  const { firstSector, lastSector } = plan.data;
  await eraseEnds(target.path, firstSector, lastSector - firstSector + 1);
  if (boot !== null && plan.copies.length > 0) {
    const between = { from: boot.path, to: target.path };
    const copies = await withoutBlanks(plan.copies, boot.path);
    await copyBodies(copies, between);
    await copyHeads(copies, between);
  }
  await ground.run("mdadm", [ARRAY_DEVICE, "--add", device]);
  // From here on neither half may be taken for the whole by a release that knows of no mirrors.
  await writeTable(target.path, plan.finished, target.sectors);
  for (const disk of members) await nameDataOn(disk, MIRROR_NAME);
  if (arrayOf(ground)?.wanted === 1) {
    await ground.run("mdadm", ["--grow", ARRAY_DEVICE, "--raid-devices=2"]);
  }
}

/** Has md forget disks that failed or are gone. */
export async function takeOutFailed(ground: Ground): Promise<void> {
  const failed = arrayOf(ground)?.members.filter(({ state }) => state === "failed") ?? [];
  for (const { device } of failed) {
    // By its name in /dev while it is there, and by what md calls it once it is gone.
    await again(() => ground.run("mdadm", [ARRAY_DEVICE, "--remove", `/dev/${device}`])).catch(() =>
      ground.run("mdadm", [ARRAY_DEVICE, "--remove", "detached"])
    );
  }
}

export interface RemoveOptions {
  /** The member's partition, "sda2"; null for one that is missing already. */
  device: string | null;
  /** The disk that it is on, where it is there. */
  disk: DiskRef | null;
  /** The disk that stays. */
  stays: DiskRef;
}

/** Has the pool be on one disk alone from now on. The caller knows that all data are on that one. */
export async function removeFromPool(ground: Ground, options: RemoveOptions): Promise<void> {
  const { device, disk, stays } = options;
  await takeOutFailed(ground);
  if (device !== null && arrayOf(ground)?.members.some((it) => it.device === device)) {
    await ground.run("mdadm", [ARRAY_DEVICE, "--fail", `/dev/${device}`]);
    await again(() => ground.run("mdadm", [ARRAY_DEVICE, "--remove", `/dev/${device}`]));
  }
  await ground.run("mdadm", ["--grow", ARRAY_DEVICE, "--raid-devices=1", "--force"]);
  await nameDataOn(stays, DATA_NAME);
  if (device === null || disk === null) return;
  try {
    await nameDataOn(disk, UNFINISHED_NAME);
    await ground.run("mdadm", ["--zero-superblock", `/dev/${device}`]);
  } catch {
    // One that cannot be written to any more is out all the same.
  }
}

/** md needs a moment to let go of a disk after it was told that it failed. */
async function again<T>(act: () => Promise<T>): Promise<T> {
  for (let left = 10;; left--) {
    try {
      return await act();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
