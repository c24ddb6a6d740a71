/**
 * What new guests are made from: the disks of another at an instant and, where they go on, its memory.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import type { GuestLife } from "./guest_life.ts";
import { diskFiles, type LifeGround } from "./life_ground.ts";
import { readRun, type RunFile, runningRun } from "./run.ts";
import type { Source } from "./source.ts";
import { copyStandingStill } from "./stand_still.ts";
import type { Work } from "./tasks.ts";
import { forkMemory } from "./vmm_copies.ts";

/** It is there for as long as new guests are made. */
export interface ForkOrigin extends Disposable {
  /** What the guest was. */
  record: GuestRecord;
  /** What it ran with; null where new guests boot. */
  run: RunFile | null;
  /** Files with what was on its disks, in their order. */
  disks: string[];
  /** What one goes on from that is to have `run`. */
  sourceFor(run: RunFile): Source;
}

interface OriginOptions {
  life: GuestLife;
  snapshot: SnapshotRecord | null;
  work: Work;
  /** Whether new guests run at once, as only these can go on from memory. */
  start: boolean;
}

const nothing = () => {};

function noSource(): never {
  throw new Error("Cannot go on: there is no memory to go on from");
}

export async function originOf(ground: LifeGround, options: OriginOptions): Promise<ForkOrigin> {
  const { life, snapshot } = options;
  if (snapshot !== null) return ofSnapshot(ground, snapshot, options);
  if (life.isUp) return await ofRunning(ground, options);
  // It is kept from starting while this is under way.
  const { record } = life;
  const disks = record.disks.map((disk) => ground.disks.path(record.id, disk));
  return { record, run: null, disks, sourceFor: noSource, [Symbol.dispose]: nothing };
}

function ofSnapshot(
  ground: LifeGround,
  snapshot: SnapshotRecord,
  { start }: OriginOptions,
): ForkOrigin {
  const { record, guest, id } = snapshot;
  const directory = ground.files.memory(guest, id);
  return {
    record,
    run: snapshot.run !== null && start ? readRun(snapshot.run) : null,
    disks: diskFiles(ground, snapshot),
    sourceFor: (run) => ({ kind: "snapshot", run, directory, hold: false }),
    [Symbol.dispose]: nothing,
  };
}

/** Its disks are copied once while it stands still; whoever comes later copies the copies. */
async function ofRunning(
  ground: LifeGround,
  { life, work, start }: OriginOptions,
): Promise<ForkOrigin> {
  const { disks, launcher, agents, log } = ground;
  const { id } = life.record;
  const scratch = disks.scratch(id);
  let descriptors: number[] = [];
  try {
    let record = life.record;
    let run: RunFile | null = null;
    const copy = async () => {
      record = structuredClone(life.record);
      if (start) run = runningRun(life.process).file();
      const copies = record.disks.map((disk) => ({
        ...{ from: disks.path(id, disk), to: scratch.at(disk), store: disk.store },
      }));
      await disks.copy(record, copies, { signal: work.signal });
    };
    work.phase("Holding the guest");
    await disks.flush(life.record);
    let pauseMs: number | null;
    if (start) {
      const wasPaused = life.phase === "paused";
      const forked = await forkMemory(launcher.controlSocket(id), { work, whileHeld: copy });
      descriptors = forked.descriptors;
      pauseMs = wasPaused ? null : forked.pauseMs;
    } else {
      const still = { copy, freeze: "try", launcher, agents, log } as const;
      ({ pauseMs } = await copyStandingStill(life, still));
    }
    if (pauseMs !== null) work.stoodStill(pauseMs);
    return {
      ...{ record, run },
      disks: record.disks.map((disk) => scratch.at(disk)),
      sourceFor: (run) => ({ kind: "fork", run, descriptors }),
      [Symbol.dispose]() {
        descriptors.splice(0).forEach(close);
        scratch.drop();
      },
    };
  } catch (error) {
    descriptors.forEach(close);
    scratch.drop();
    throw error;
  }
}
