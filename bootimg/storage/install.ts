/**
 * Installing on a disk: copies of the boot partitions that this system was booted from, and a pool.
 *
 * @module
 */
import { writeTable } from "../disk/disk_table.ts";
import type { PartitionTable } from "../disk/gpt.ts";
import { copiedBytes, copyBodies, copyHeads, eraseMarks, withoutBlanks } from "./erase.ts";
import type { DiskFacts } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { planDisk } from "./place.ts";
import { makePool } from "./pool.ts";

/** Not the array that this host runs from. */
export const OTHER_ARRAY = "/dev/md1";

export interface InstallOptions {
  target: DiskFacts;
  /** The disk that this system was booted from. */
  boot: { path: string; table: PartitionTable };
  signal?: AbortSignal;
  onPhase?: (phase: string, options?: { final?: boolean }) => void;
  onProgress?: (bytes: number, total: number) => void;
  /** Puts files on the new pool, which is mounted on the folder. */
  fill?: (folder: string) => void;
  sync: () => void;
  log: (text: string) => void;
}

/**
 * Installs; what is on the target is lost. The source is only read. Until the last step nothing on the
 * target can be booted or taken for data, whenever the power goes.
 */
export async function install(ground: Ground, options: InstallOptions): Promise<void> {
  const { target, boot, signal, onPhase = () => {}, onProgress, fill, sync, log } = options;
  const plan = planDisk(target.sectors, { source: boot.table });
  if (plan.copies.length === 0) {
    throw new Error(`Cannot install: ${boot.path} has no boot partition to copy`);
  }
  signal?.throwIfAborted();
  onPhase("Erasing the disk");
  await eraseMarks(target);
  await writeTable(target.path, plan.unfinished, target.sectors);
  onPhase("Copying the system");
  const between = { from: boot.path, to: target.path };
  const copies = await withoutBlanks(plan.copies, boot.path);
  const total = copiedBytes(copies);
  await copyBodies(copies, {
    ...{ ...between, signal },
    onProgress: (bytes) => onProgress?.(bytes, total),
  });
  signal?.throwIfAborted();
  onPhase("Making the pool", { final: true });
  const number = plan.data.number;
  // The pool's own last step would make it count: here that is ours, after the boot partitions.
  const { device, kind } = await makePool(ground, [{
    disk: target,
    unfinished: plan.unfinished,
    finished: plan.unfinished,
    number,
  }], { array: OTHER_ARRAY, sync, log });
  try {
    if (fill) await ground.withMounted(device, fill);
  } finally {
    if (kind === "mirror") await ground.run("mdadm", ["--stop", OTHER_ARRAY]);
  }
  sync();
  onPhase("Finishing", { final: true });
  await copyHeads(copies, between);
  await writeTable(target.path, plan.finished, target.sectors);
  await ground.showPartition(target, number);
}
