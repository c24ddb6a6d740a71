/**
 * Makes guests what they were in a snapshot.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type * as z from "zod";
import type { Guest, SnapshotRevert, Task } from "../api/schemas.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { thawed } from "./freezing.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { diskFiles, type LifeGround, refuseForeign } from "./life_ground.ts";
import { readRun } from "./run.ts";
import type { Source } from "./source.ts";
import type { Work } from "./tasks.ts";

type Wish = z.output<typeof SnapshotRevert>;

export class Reverts {
  readonly #ground: LifeGround;
  /** Tells of a guest's snapshots. */
  readonly #tell: (guest: string) => Promise<void>;

  constructor(ground: LifeGround, options: { tell: (guest: string) => Promise<void> }) {
    this.#ground = ground;
    this.#tell = options.tell;
  }

  revert(guest: string, id: string, wish: Wish): Promise<Task> {
    const { turn, snapshots, store, tasks, budget } = this.#ground;
    return turn(guest, (life) => {
      refuse("revert", life.phase);
      refuseForeign(this.#ground.disks, life.record, "Cannot revert");
      const snapshot = snapshots.get(guest, id);
      const isStarted = wish.start ?? (life.isUp || snapshot.run !== null);
      const record = goingBack(life.record, snapshot.record);
      // All that can be known is refused before anything is done.
      record.nets.forEach((net) => store.refuseTakenMac(net.mac, net.id));
      if (isStarted) {
        this.#ground.refuseShutDown("Cannot revert", record.name);
        budget.refuseUnfit({ ...record, verb: "revert" }, memoryOf(snapshot));
      }
      const start = { kind: "revert", guest: life.record, detail: snapshot.name } as const;
      return tasks.begin(
        { ...start, unit: "steps" },
        (work) => this.#revert(life, snapshot, { work, isStarted }),
      );
    });
  }

  /**
   * The guest gets disks of its own before it is ended, and they count from the one change of the
   * database on that also says what it is and what it goes on from: whatever is cut off before, it is
   * what it was, and after that what it is to be.
   */
  async #revert(
    life: GuestLife,
    snapshot: SnapshotRecord,
    { work, isStarted }: { work: Work; isStarted: boolean },
  ): Promise<void> {
    const { disks, snapshots, log } = this.#ground;
    const { id } = life.record;
    const files = snapshot.record.disks.map(() => `${ulid()}.img`);
    work.phase("Copying disks");
    work.progress(0, 3);
    const from = diskFiles(this.#ground, snapshot);
    const places = snapshot.record.disks.map(({ store }, i) => ({ file: files[i], store }));
    await disks.shared.require(places.map(({ store }) => store));
    const copies = places.map((to, i) => ({ from: from[i], to }));
    const { keep, drop } = await disks.addFrom(life.record, copies, { signal: work.signal });
    const before = life.record;
    try {
      work.signal.throwIfAborted();
      work.phase("Ending the guest", { final: true });
      work.progress(1, 3);
      await life.end();
      await life.over;
      // Nobody looks after it any more, and it runs on.
      if (life.isUp) throw new Error("the supervisor stops");
      const resumesFrom = snapshot.run === null ? null : snapshot.id;
      const record = goingBack(life.record, snapshot.record, files);
      disks.without(id, before.disks, () => {
        snapshots.revert(record, { current: snapshot.id, resumesFrom });
        life.becomes(record, { resumesFrom });
      });
      keep();
    } catch (error) {
      drop();
      throw error;
    }
    await this.#tell(id);
    log("info", "a guest was reverted", { guest: before.name, snapshot: snapshot.name });
    if (isStarted) {
      work.phase("Starting the guest", { final: true });
      work.progress(2, 3);
      this.#ground.refuseShutDown("Cannot start", before.name);
      await life.start();
      await thawed(life, work);
    }
    work.progress(3, 3);
  }

  /** Has a guest that was reverted boot at its next start. */
  discardMemory(guest: string): Promise<Guest> {
    const { turn, tasks } = this.#ground;
    return turn(guest, (life) => {
      const { name } = life.record;
      tasks.refuseBusy(life.record, "Cannot discard the memory of");
      if (life.resumesFrom === null || life.isUp) {
        const why = life.isUp ? `it is ${life.state}` : "its next start boots anyway";
        throw problem("wrong_state", `Cannot discard the memory of "${name}": ${why}`);
      }
      life.setResumesFrom(null);
      return life.tell();
    });
  }

  /** What a guest goes on from that was reverted. */
  sourceOf(guest: string, id: string): Source {
    const { snapshots, files } = this.#ground;
    const run = readRun(snapshots.get(guest, id).run);
    return { kind: "snapshot", run, directory: files.memory(guest, id), hold: true };
  }
}

/** What a guest is to be kept as that goes back to `then`, on disks in `files`; it stays who it is. */
function goingBack(now: GuestRecord, then: GuestRecord, files?: string[]): GuestRecord {
  const { id, name, autostart, atShutdown, startOrder, createdAt } = now;
  return {
    ...{ ...then, id, name, autostart, atShutdown, startOrder, createdAt, error: null },
    disks: then.disks.map((disk, i) => ({ ...disk, file: files?.[i] ?? disk.file })),
  };
}

/** What a guest takes that goes on from it, or boots. */
export function memoryOf({ record, run }: SnapshotRecord): number {
  const { memoryMiB, memory } = run === null ? record : readRun(run).started;
  return memoryMiB + memory.requestedMiB;
}
