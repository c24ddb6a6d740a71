/**
 * Makes more guests out of one: as it is now, or as it was in a snapshot.
 *
 * @module
 */
import type * as z from "zod";
import type { ForkCreate, Task } from "../api/schemas.ts";
import { problem } from "../problem.ts";
import type { SnapshotRecord } from "../store/snapshots.ts";
import { type Child, childOf, named, replugged, whyNotReplug } from "./fork_child.ts";
import { type ForkOrigin, originOf } from "./fork_origin.ts";
import { thawed } from "./freezing.ts";
import { type GuestLife, refuse } from "./guest_life.ts";
import { type LifeGround, refuseForeign, refuseLeaving } from "./life_ground.ts";
import { replug } from "./replug.ts";
import { memoryOf } from "./reverts.ts";
import { readRun } from "./run.ts";
import type { Work } from "./tasks.ts";

type Wish = z.output<typeof ForkCreate>;

/** How many are made at the same time: each start wants a processor for itself. */
const AT_ONCE = 4;
const MOST_NAME = 63;

export class Forks {
  readonly #ground: LifeGround;

  constructor(ground: LifeGround) {
    this.#ground = ground;
  }

  create(guest: string, wish: Wish): Promise<Task> {
    const { turn, snapshots, store, tasks, budget } = this.#ground;
    return turn(guest, (life) => {
      const { count, name, start } = wish;
      const snapshot = wish.snapshot === null ? null : snapshots.get(guest, wish.snapshot);
      if (snapshot === null) {
        refuse("fork", life.phase);
        refuseLeaving(life, "Cannot fork");
        refuseForeign(this.#ground.disks, life.record, "Cannot fork");
      }
      if (name !== undefined && count === 1) store.refuseTakenName(name, "");
      if (start) {
        this.#ground.refuseShutDown("Cannot fork", life.record.name);
        // For all of them: not some first, and then no more.
        const each = snapshot === null ? life.memoryMiB : memoryOf(snapshot);
        const all = { id: "", name: life.record.name, verb: "fork" };
        budget.refuseUnfit(all, count * each);
      }
      refuseNetwork(life, { wish, snapshot });
      const detail = count === 1 ? "1 new guest" : `${count} new guests`;
      const begun = { kind: "fork", guest: life.record, detail, unit: "steps" } as const;
      return tasks.begin(begun, async (work) => {
        using origin = await originOf(this.#ground, { life, snapshot, work, start });
        await this.#makeAll(origin, { life, wish, work });
      });
    });
  }

  async #makeAll(
    origin: ForkOrigin,
    { life, wish, work }: { life: GuestLife; wish: Wish; work: Work },
  ): Promise<void> {
    const { count } = wish;
    work.phase(wish.start ? "Starting new guests" : "Making new guests");
    work.progress(0, count);
    let [begun, made] = [0, 0];
    const failures: unknown[] = [];
    const makeSome = async () => {
      while (begun < count && failures.length === 0 && !work.signal.aborted) {
        begun++;
        try {
          work.made(await this.#make(origin, { parent: life.record.name, wish, work }));
          work.progress(++made, count);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, makeSome));
    if (failures.length > 0) throw failures[0];
    work.signal.throwIfAborted();
  }

  /** Makes one; where that fails or is given up, nothing of it is left. Returns its id. */
  async #make(
    origin: ForkOrigin,
    { parent, wish, work }: { parent: string; wish: Wish; work: Work },
  ): Promise<string> {
    const { disks, add, remove, refuseShutDown, launcher } = this.#ground;
    const { signal } = work;
    const made = childOf(origin, wish);
    const { record } = made;
    const copies = record.disks.map((disk, i) => ({ from: origin.disks[i], to: disk }));
    await disks.createFrom({ id: record.id, name: parent }, copies, { signal });
    let child: GuestLife;
    let run: Child["run"];
    try {
      signal.throwIfAborted();
      // Chosen when it is taken at once: several are made at the same time.
      const name = wish.name !== undefined && wish.count === 1
        ? wish.name
        : this.#freeName(wish.name ?? parent);
      const goesOn = named(made, name);
      run = goesOn.run;
      child = add(goesOn.record);
    } catch (error) {
      disks.delete(record.id);
      throw error;
    } finally {
      disks.settle(record.id, record.disks);
    }
    if (!wish.start) return record.id;
    const giveUp = () => void child.end().catch(() => {});
    signal.addEventListener("abort", giveUp);
    try {
      refuseShutDown("Cannot start", child.record.name);
      await child.start(run === null ? undefined : origin.sourceFor(run));
      await thawed(child, { signal });
      if (wish.network === undefined || wish.network === "replug") {
        await replug(child, replugged({ record, run }), { launcher });
      }
      signal.throwIfAborted();
      return record.id;
    } catch (error) {
      await child.end().catch(() => {});
      await child.over;
      remove(child);
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  #freeName(base: string): string {
    for (let n = 1;; n++) {
      const suffix = `-${n}`;
      const name = base.slice(0, MOST_NAME - suffix.length).replace(/-+$/, "") + suffix;
      if (!this.#ground.store.hasName(name)) return name;
    }
  }
}

/** Throws where cards are to be replugged that are there for good. */
function refuseNetwork(
  { isUp, record, process }: GuestLife,
  { wish, snapshot }: { wish: Wish; snapshot: SnapshotRecord | null },
): void {
  if (wish.network !== "replug" || !wish.start) return;
  const then = snapshot === null
    ? { record, run: isUp ? process?.run.file() ?? null : null }
    : { record: snapshot.record, run: snapshot.run === null ? null : readRun(snapshot.run) };
  const why = whyNotReplug(then);
  if (why !== null) throw problem("wrong_state", why);
}
