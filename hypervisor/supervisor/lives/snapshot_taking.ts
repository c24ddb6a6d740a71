/**
 * Copies what a snapshot has of a guest: its disks and, where it runs, its memory, all of one instant.
 *
 * @module
 */
import type * as z from "zod";
import type { SnapshotCreate } from "../api/schemas.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { VmmRefusal } from "./control_client.ts";
import { Freezing } from "./freezing.ts";
import type { GuestLife } from "./guest_life.ts";
import type { LifeGround } from "./life_ground.ts";
import { type Run, type RunFile, runningRun } from "./run.ts";
import type { NewSnapshotFiles } from "./snapshot_files.ts";
import { copyStandingStill } from "./stand_still.ts";
import type { Work } from "./tasks.ts";
import { type Base, saveMemory } from "./vmm_copies.ts";

/** What a snapshot has of the guest's instant. */
export interface Taken {
  record: GuestRecord;
  /** Null without memory. */
  run: RunFile | null;
  pauseMs: number | null;
  diskBytes: number;
  frozen: boolean;
  /** Whether the VMM keeps track of what changes since. */
  track: boolean;
}

export interface TakeOptions {
  wish: z.output<typeof SnapshotCreate>;
  work: Work;
  place: NewSnapshotFiles;
}

type Instant = Pick<Taken, "record" | "run" | "diskBytes">;

/** Copies all of it; the guest then goes on as before. */
export async function takeSnapshot(
  ground: LifeGround,
  life: GuestLife,
  { wish, work, place }: TakeOptions,
): Promise<Taken> {
  const { disks, launcher, agents, log } = ground;
  const { id } = life.record;
  const withMemory = life.isUp && wish.memory;
  let instant: Instant | undefined;
  const copy = async () => {
    work.phase("Copying disks");
    const record = structuredClone(life.record);
    const copies = record.disks.map((disk) => ({
      ...{ from: disks.path(id, disk), to: place.disk(disk), store: disk.store },
    }));
    const run = withMemory ? runningRun(life.process).file() : null;
    const diskBytes = await disks.copy(record, copies, { signal: work.signal });
    instant = { record, run, diskBytes };
  };
  if (life.isUp) await disks.flush(life.record);
  let how: Omit<Taken, keyof Instant>;
  if (withMemory) {
    how = await takeWithMemory(ground, life, { wish, work, place, copy });
  } else {
    const freeze = wish.freeze === undefined ? "try" : wish.freeze ? "must" : "no";
    const still = await copyStandingStill(life, { copy, freeze, launcher, agents, log });
    how = { ...still, track: false };
  }
  if (instant === undefined) throw new Error("its disks were not copied");
  return { ...instant, ...how };
}

/**
 * The guest runs while its memory is written. Only then are its file systems frozen, if they are to be, and
 * they are thawed as soon as it goes on.
 */
async function takeWithMemory(
  ground: LifeGround,
  life: GuestLife,
  options: TakeOptions & { copy: () => Promise<void> },
): Promise<Omit<Taken, keyof Instant>> {
  const { disks, launcher } = ground;
  const { wish, work, place, copy } = options;
  const run = runningRun(life.process);
  const wasPaused = life.phase === "paused";
  // Where files share nothing, all of the base would be copied before what has changed is written.
  const { canShare } = ground.files;
  const base = canShare ? baseOf(ground, life, run) : null;
  const track = canShare && wish.incremental;
  let freezing: Freezing | undefined;
  const begin = () => {
    work.phase("Freezing file systems");
    freezing = new Freezing(life, ground);
    return freezing.frozen;
  };
  const end = () => void freezing?.end().catch(() => {});
  try {
    const { pauseMs } = await saveMemory(launcher.controlSocket(life.record.id), {
      ...{ work, base, track, directory: place.memory, whileHeld: copy },
      ...(wish.freeze === true && { beforeHeld: begin, afterHeld: end }),
      room: async (bytes) => {
        if (await freeBytes(disks.directory) < bytes + RESERVED_BYTES) throw noRoom(life.record);
      },
    });
    await freezing?.end();
    return { pauseMs: wasPaused ? null : pauseMs, frozen: freezing !== undefined, track };
  } catch (error) {
    await freezing?.end().catch(() => {});
    // A base that cannot be read would be in the way of every save to come.
    if (base !== null && error instanceof VmmRefusal) run.setBase(null);
    throw error;
  }
}

/** The snapshot since which the VMM tracks changes, by what is known here; null where there is none. */
function baseOf(ground: LifeGround, life: GuestLife, run: Run): Base | null {
  const { files, snapshots, log } = ground;
  const { id: guest, name } = life.record;
  const base = snapshots.list(guest).find(({ id }) => id === run.base);
  if (base === undefined) return null;
  return {
    directory: files.memory(guest, base.id),
    refused: (why) => log("info", "a guest's memory is saved whole", { guest: name, error: why }),
  };
}

function noRoom({ name }: GuestRecord) {
  return problem("disk_full", `Cannot save the memory of "${name}": the data partition is full`);
}
