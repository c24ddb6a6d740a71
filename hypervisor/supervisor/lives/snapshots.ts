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
  Template,
} from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { type LifeGround, refuseForeign, refuseLeaving } from "./life_ground.ts";
import { whyNotFreeze } from "./freezing.ts";
import { OwnSizes } from "./own_sizes.ts";
import { untilReady } from "./readiness.ts";
import { takeSnapshot } from "./snapshot_taking.ts";
import type { Work } from "./tasks.ts";

type Wish = z.output<typeof SnapshotCreate>;

const TAKE = "Cannot take a snapshot of";

export class Snapshots {
  readonly #ground: LifeGround;
  readonly #own: OwnSizes;

  constructor(ground: LifeGround) {
    this.#ground = ground;
    this.#own = new OwnSizes(ground.files);
  }

  /** A guest's, with what each takes at present. */
  async tree(guest: string): Promise<SnapshotTree> {
    const { snapshots, life, events, store } = this.#ground;
    const { id } = life(guest).record;
    const all = snapshots.list(id);
    await this.#own.look(id, all, () => {
      // The guest may be gone by then.
      const isThere = store.list().some((it) => it.id === id);
      if (isThere) events.publish({ name: "snapshots", data: this.#known(id) });
    });
    return this.#known(id);
  }

  #known(id: string): SnapshotTree {
    const { snapshots, life } = this.#ground;
    return {
      guest: id,
      snapshots: snapshots.list(id).map((it) => this.#view(it)),
      current: snapshots.standing(id).current,
      base: life(id).process?.run.base ?? null,
    };
  }

  /** A guest is gone, and its snapshots with it. */
  forget(guest: string): void {
    this.#own.forgetGuest(guest);
  }

  /** Those that guests are to be made of, of all guests. */
  templates(): Template[] {
    const { snapshots, store } = this.#ground;
    const names = new Map(store.list().map(({ id, name }) => [id, name]));
    return snapshots.templates().flatMap((snapshot) => {
      const { guest: id } = snapshot;
      const name = names.get(id);
      return name === undefined ? [] : [{ guest: { id, name }, snapshot: this.#view(snapshot) }];
    });
  }

  #view(snapshot: SnapshotRecord): Snapshot {
    const { id, name, description, parent, template, frozen } = snapshot;
    const { memoryBytes, diskBytes, pauseMs, createdAt, run } = snapshot;
    return {
      ...{ id, name, description, parent, template, memory: run !== null, frozen },
      ...{ memoryBytes, diskBytes, ownBytes: this.#own.of(snapshot), pauseMs, createdAt },
    };
  }

  /** Tells everybody what snapshots a guest has now. */
  async tell(guest: string): Promise<void> {
    this.#ground.events.publish({ name: "snapshots", data: await this.tree(guest) });
  }

  /** The same, with nobody to wait for it. */
  tellLater(guest: string): void {
    this.tell(guest).catch((error) => {
      const data = { guest, error: messageOf(error) };
      this.#ground.log("error", "cannot tell of a guest's snapshots", data);
    });
  }

  create(guest: string, wish: Wish): Promise<Task> {
    const { turn, snapshots, tasks, disks } = this.#ground;
    return turn(guest, (life) => {
      refuse("snapshot", life.phase);
      snapshots.refuseTakenName(guest, wish.name);
      refuseLeaving(life, TAKE);
      refuseForeign(disks, life.record, TAKE);
      refuseUnready(life, wish);
      const why = wish.freeze === true && life.isUp ? whyNotFreeze(life) : null;
      if (why !== null) throw problem("wrong_state", why);
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
      const taken = await takeSnapshot(this.#ground, life, { wish, work, place });
      const { record, run, pauseMs, diskBytes, frozen, track } = taken;
      if (pauseMs !== null) work.stoodStill(pauseMs);
      work.signal.throwIfAborted();
      work.phase("Bringing it to the disk", { final: true });
      await place.appear();
      // The row comes last: with it the snapshot exists.
      snapshots.add({
        ...{ id, guest, record, run, diskBytes, pauseMs, frozen },
        ...{ name: wish.name, description: wish.description, template: wish.template },
        parent: snapshots.standing(guest).current,
        memoryBytes: run === null ? 0 : files.memoryBytes(guest, id),
        createdAt: new Date().toISOString(),
      });
      place.keep();
      if (run !== null) life.process?.run.setBase(track ? id : null);
    } catch (error) {
      place.drop();
      throw error;
    }
    await this.tell(guest);
  }

  update(guest: string, id: string, change: SnapshotUpdate): Promise<Snapshot> {
    const { turn, snapshots } = this.#ground;
    return turn(guest, async () => {
      const { name, description, template, ...rest } = snapshots.get(guest, id);
      const next = { ...rest, name, description, template, ...change };
      snapshots.update(next, next);
      await this.tell(guest);
      return this.#view(next);
    });
  }

  delete(guest: string, id: string): Promise<void> {
    const { turn, snapshots, files, tasks } = this.#ground;
    return turn(guest, async (life) => {
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
      files.delete(snapshot, () => snapshots.delete(snapshot));
      this.#own.forget(snapshot);
      await this.tell(guest);
    });
  }
}

function refuseUnready({ isUp, record, process }: GuestLife, { readiness }: Wish) {
  if (readiness === null) return;
  const doing = `${TAKE} "${record.name}" once it is ready`;
  if (!isUp) throw problem("wrong_state", `${doing}: it does not run`);
  if (readiness.agent && !process?.run.hasAgent) {
    throw problem("wrong_state", `${doing}: it has no channel to an agent`);
  }
}
