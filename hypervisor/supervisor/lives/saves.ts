/**
 * Saving guests as the host ends, for its next start to go on from.
 *
 * Whatever is cut off, a guest goes on from its whole save or boots, as after a crash, and never both:
 *
 * | what ends, and when                              | the guest's next start                          |
 * | ------------------------------------------------ | ----------------------------------------------- |
 * | the host, before the save is written down        | boots; what there is of the save is swept       |
 * | the supervisor, before                           | the guest is found, and goes on                 |
 * | the host, after                                  | goes on from the save: it has not run since     |
 * | the supervisor, after, and the VMM with the host | goes on from the save                           |
 * | the supervisor alone, after                      | found, the save is taken back, and it goes on   |
 *
 * It stands still from before its memory is written, and its disks are brought to where they are stored
 * before the save is written down: memory knows of writes that must not be lost after it.
 *
 * @module
 */
import { join } from "@std/path";
import { delay } from "@std/async";
import { decodeTime, ulid } from "@std/ulid";
import { exists, removeIfThere, renameDurably, syncDirectory } from "../durable.ts";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { problem } from "../problem.ts";
import { isSave, saveName, type SaveStore, ulidOf } from "../store/saves.ts";
import { NEW_PREFIX } from "./disks.ts";
import type { GuestLife } from "./guest_life.ts";
import { SAVED } from "./guest_files.ts";
import { type LifeGround, refuseLeaving } from "./life_ground.ts";
import { readRun, runningRun } from "./run.ts";
import type { Source } from "./source.ts";
import type { Work } from "./tasks.ts";
import { saveMemory } from "./vmm_copies.ts";

/** What is under way with a guest may take so long to be given up. */
const IDLE_MS = 10_000;
const LOOK_MS = 50;

/** When a guest was saved; null for what is no save. */
export function savedAt(resumesFrom: string | null): string | null {
  if (resumesFrom === null || !isSave(resumesFrom)) return null;
  return new Date(decodeTime(ulidOf(resumesFrom))).toISOString();
}

export class Saves {
  readonly #ground: LifeGround;
  readonly #store: SaveStore;

  constructor(ground: LifeGround, store: SaveStore) {
    this.#ground = ground;
    this.#store = store;
  }

  #folder(guest: string): string {
    return join(this.#ground.disks.folder(guest), SAVED);
  }

  /** What a guest goes on from that was saved; its memory is of its last moment, so it stays who it is. */
  sourceOf(guest: string): Source {
    const save = this.#store.next(guest);
    if (save === null) throw new Error("Cannot go on from what was saved: nothing was");
    const directory = join(this.#folder(guest), save.id, "memory");
    return { kind: "snapshot", run: readRun(save.run), directory, hold: true, identity: "same" };
  }

  /** Removes what a guest does not go on from any more. */
  sweep(guest: string): void {
    const folder = this.#folder(guest);
    if (!exists(folder)) return;
    const next = this.#store.next(guest)?.id;
    for (const { name } of [...Deno.readDirSync(folder)]) {
      if (name !== next) removeIfThere(join(folder, name));
    }
  }

  /**
   * Saves a guest and ends it; resolves when its VMM is no more. Where that fails, it runs on. It is too late
   * to give it up once it is written down.
   */
  async save(life: GuestLife, { signal }: { signal: AbortSignal }): Promise<void> {
    const { tasks } = this.#ground;
    const { id } = life.record;
    const late = Date.now() + IDLE_MS;
    while (tasks.of(id) !== undefined && Date.now() < late) await delay(LOOK_MS, { signal });
    const ended = Promise.withResolvers<void>();
    const run = async (work: Work) => {
      const giveUp = () => {
        const { state, canCancel } = tasks.get(task.id);
        if (state === "running" && canCancel) tasks.cancel(task.id);
      };
      signal.addEventListener("abort", giveUp);
      try {
        await this.#save(life, work);
        ended.resolve();
      } catch (error) {
        ended.reject(error);
        throw error;
      } finally {
        signal.removeEventListener("abort", giveUp);
      }
    };
    const task = tasks.begin({ kind: "save", guest: life.record, detail: "" }, run);
    await ended.promise;
  }

  async #save(life: GuestLife, work: Work): Promise<void> {
    const { disks, launcher } = this.#ground;
    const { id: guest, name } = life.record;
    refuseLeaving(life, "Cannot save");
    const { process } = life;
    runningRun(process);
    const folder = this.#folder(guest);
    if (!exists(folder)) {
      Deno.mkdirSync(folder, { mode: 0o700 });
      syncDirectory(disks.folder(guest));
    }
    this.sweep(guest);
    const id = saveName(ulid());
    const temporary = join(folder, NEW_PREFIX + id);
    Deno.mkdirSync(temporary, { mode: 0o700 });
    try {
      await process!.leftStanding(async () => {
        await saveMemory(launcher.controlSocket(guest), {
          ...{ work, base: null, track: false, directory: join(temporary, "memory") },
          // It stands still already, and its disks stay where they are.
          whileHeld: () => Promise.resolve(),
          async room(bytes) {
            if (await freeBytes(folder) >= bytes + RESERVED_BYTES) return;
            const why = `Cannot save the memory of "${name}": the data partition is full`;
            throw problem("disk_full", why);
          },
        });
        work.phase("Bringing it to the disk");
        await disks.flush(life.record);
        syncDirectory(temporary);
        renameDurably(temporary, join(folder, id));
        const stands = await process!.standsStill();
        work.signal.throwIfAborted();
        // Whoever ended it meanwhile wanted that. Nothing else comes between this and the VMM's end.
        if (!stands || life.state !== "running" || life.process !== process) {
          throw new Error(`Cannot save "${name}": it does not stand still any more`);
        }
        this.#store.put({ guest, id, run: process!.run.file() });
        life.resumesFrom = id;
        work.phase("Ending the VMM", { final: true });
      });
    } catch (error) {
      if (life.resumesFrom !== id) {
        removeIfThere(temporary);
        removeIfThere(join(folder, id));
      }
      throw error;
    }
    await life.end();
    await life.over;
  }
}
