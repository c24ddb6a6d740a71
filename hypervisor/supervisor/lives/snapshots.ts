/**
 * Guests' snapshots: taken, listed, renamed and deleted.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import type {
  Snapshot,
  SnapshotCreate,
  SnapshotTree,
  SnapshotUpdate,
  Task,
} from "../api/schemas.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { type LifeGround, refuseLeaving } from "./life_ground.ts";
import { untilReady } from "./readiness.ts";
import { type RunFile, runningRun } from "./run.ts";
import type { NewSnapshotFiles } from "./snapshot_files.ts";
import { copyStandingStill } from "./stand_still.ts";
import type { Work } from "./tasks.ts";
import { saveMemory } from "./vmm_copies.ts";

type Wish = z.output<typeof SnapshotCreate>;

/** What a snapshot has of the guest's instant. */
interface Taken {
  record: GuestRecord;
  run: RunFile | null;
  pauseMs: number | null;
  diskBytes: number;
}

const TAKE = "Cannot take a snapshot of";

export class Snapshots {
  readonly #ground: LifeGround;

  constructor(ground: LifeGround) {
    this.#ground = ground;
  }

  tree(guest: string): SnapshotTree {
    const { snapshots, life } = this.#ground;
    const { id } = life(guest).record;
    return {
      guest: id,
      snapshots: snapshots.list(id).map(view),
      current: snapshots.standing(id).current,
    };
  }

  /** Tells everybody what snapshots a guest has now. */
  tell(guest: string): void {
    this.#ground.events.publish({ name: "snapshots", data: this.tree(guest) });
  }

  create(guest: string, wish: Wish): Promise<Task> {
    const { turn, snapshots, tasks } = this.#ground;
    return turn(guest, (life) => {
      refuse("snapshot", life.phase);
      snapshots.refuseTakenName(guest, wish.name);
      refuseLeaving(life, TAKE);
      refuseUnready(life, wish);
      const start = { kind: "snapshot", guest: life.record, detail: wish.name } as const;
      return tasks.begin(start, (work) => this.#take(life, wish, work));
    });
  }

  async #take(life: GuestLife, wish: Wish, work: Work): Promise<void> {
    const { files, snapshots, launcher, agents } = this.#ground;
    const { id: guest } = life.record;
    const id = ulid();
    if (wish.readiness !== null) {
      work.phase("Waiting until the guest is ready");
      await untilReady(life, wish.readiness, {
        ...{ signal: work.signal, agents },
        agentSocket: launcher.agentSocket(guest),
        controlSocket: launcher.controlSocket(guest),
      });
    }
    work.signal.throwIfAborted();
    // What it waited for may have taken long.
    refuse("snapshot", life.phase);
    const place = files.begin(guest, id);
    try {
      const { record, run, pauseMs, diskBytes } = await this.#copy(life, place, { wish, work });
      if (pauseMs !== null) work.stoodStill(pauseMs);
      work.signal.throwIfAborted();
      work.phase("Bringing it to the disk", { final: true });
      await place.appear();
      // The row comes last: with it the snapshot exists.
      snapshots.add({
        ...{ id, guest, record, run, diskBytes, pauseMs },
        ...{ name: wish.name, description: wish.description, template: wish.template },
        parent: snapshots.standing(guest).current,
        memoryBytes: run === null ? 0 : files.memoryBytes(guest, id),
        createdAt: new Date().toISOString(),
      });
    } catch (error) {
      place.drop();
      throw error;
    }
    this.tell(guest);
  }

  async #copy(
    life: GuestLife,
    place: NewSnapshotFiles,
    { wish, work }: { wish: Wish; work: Work },
  ): Promise<Taken> {
    const { disks, launcher, agents, log } = this.#ground;
    const { id } = life.record;
    const withMemory = life.isUp && wish.memory;
    let taken: Omit<Taken, "pauseMs"> | undefined;
    const copy = async () => {
      work.phase("Copying disks");
      const record = structuredClone(life.record);
      const copies = record.disks.map(({ name, file }) => ({
        from: disks.path(id, file),
        to: place.disk(name),
      }));
      const run = withMemory ? runningRun(life.process).file() : null;
      const diskBytes = await disks.copy(record, copies, { signal: work.signal });
      taken = { record, run, diskBytes };
    };
    if (life.isUp) await disks.flush(life.record);
    let pauseMs: number | null;
    if (withMemory) {
      // Never with frozen file systems: they would be so in the memory, for whoever goes on from there;
      // and memory and disks of one instant belong together as they are.
      const wasPaused = life.phase === "paused";
      const saved = await saveMemory(launcher.controlSocket(id), {
        ...{ work, directory: place.memory, whileHeld: copy },
        room: async (bytes) => {
          if (await freeBytes(disks.directory) < bytes + RESERVED_BYTES) throw noRoom(life.record);
        },
      });
      pauseMs = wasPaused ? null : saved.pauseMs;
    } else {
      const agentSocket = wish.freeze ? launcher.agentSocket(id) : null;
      pauseMs = await copyStandingStill(life, { copy, agents, agentSocket, log });
    }
    if (taken === undefined) throw new Error("its disks were not copied");
    return { ...taken, pauseMs };
  }

  update(guest: string, id: string, change: SnapshotUpdate): Promise<Snapshot> {
    const { turn, snapshots } = this.#ground;
    return turn(guest, () => {
      const { name, description, template, ...rest } = snapshots.get(guest, id);
      const next = { ...rest, name, description, template, ...change };
      snapshots.update(next, next);
      this.tell(guest);
      return view(next);
    });
  }

  delete(guest: string, id: string): Promise<void> {
    const { turn, snapshots, files, tasks } = this.#ground;
    return turn(guest, (life) => {
      const snapshot = snapshots.get(guest, id);
      const doing = `Cannot delete the snapshot "${snapshot.name}"`;
      const task = tasks.of(guest);
      if (task !== undefined) {
        throw problem("wrong_state", `${doing}: a ${task.kind} is under way. Wait or cancel it`);
      }
      if (life.resumesFrom === id) {
        throw problem(
          "wrong_state",
          `${doing}: the guest's next start goes on from its memory. Start it, or discard that ` +
            "memory, first",
        );
      }
      // The row first: without it the files belong to nobody, and are swept.
      snapshots.delete(snapshot);
      files.delete(guest, id);
      this.tell(guest);
    });
  }
}

function view(snapshot: SnapshotRecord): Snapshot {
  const { id, name, description, parent, template } = snapshot;
  const { memoryBytes, diskBytes, pauseMs, createdAt, run } = snapshot;
  return {
    ...{ id, name, description, parent, template, memory: run !== null },
    ...{ memoryBytes, diskBytes, pauseMs, createdAt },
  };
}

function refuseUnready({ isUp, record, process }: GuestLife, { readiness }: Wish) {
  if (readiness === null) return;
  const doing = `${TAKE} "${record.name}" once it is ready`;
  if (!isUp) throw problem("wrong_state", `${doing}: it does not run`);
  if (readiness.agent && !process?.run.hasAgent) {
    throw problem("wrong_state", `${doing}: it has no channel to an agent`);
  }
}

function noRoom({ name }: GuestRecord) {
  return problem("disk_full", `Cannot save the memory of "${name}": the data partition is full`);
}
