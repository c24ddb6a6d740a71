/**
 * Guests' VMMs that an earlier supervisor started, found again; and what is left of those that are gone.
 *
 * @module
 */
import { removeIfThere } from "../durable.ts";
import { type Log, messageOf } from "../log.ts";
import type { GuestRecord, GuestStore } from "../store/guests.ts";
import type { SnapshotStore } from "../store/snapshots.ts";
import type { GuestDisks } from "./disks.ts";
import { filesOf, sweep, withSizes } from "./guest_files.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Launcher } from "./launcher.ts";
import type { VmmProcess } from "./vmm_process.ts";

export interface AdoptionGround {
  lives: ReadonlyMap<string, GuestLife>;
  launcher: Launcher;
  disks: GuestDisks;
  store: GuestStore;
  snapshots: SnapshotStore;
  log: Log;
  /** Keeps what a guest is to be from now on. */
  keep(life: GuestLife, record: GuestRecord): unknown;
  /** Removes the taps of cards of a guest of this name. */
  detach(nets: string[], guest: string): void;
}

/** Takes up the guests that run already, and removes what is left of those that do not. */
export async function adoptAll(ground: AdoptionGround): Promise<void> {
  const { lives, launcher: { runDirectory }, disks, store, snapshots, log, keep, detach } = ground;
  Deno.mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  // Those that are on their way to this host are looked after by who receives them.
  const arriving = store.list({ arriving: true }).filter(({ id }) => !lives.has(id));
  for (const { name: id } of [...Deno.readDirSync(runDirectory)]) {
    if (arriving.some((record) => record.id === id)) continue;
    // One that cannot be taken up must not keep the others from it.
    await adoptOne(id, ground).catch((error) =>
      log("error", "cannot take up a guest", { id, error: messageOf(error) })
    );
  }
  for (const life of lives.values()) {
    const { record } = life;
    const now = withSizes(record, disks);
    if (now !== record) keep(life, now);
    const used = new Set(life.isUp ? life.process?.run.netIds : []);
    detach(record.nets.map(({ id }) => id).filter((it) => !used.has(it)), record.name);
  }
  const all = [...arriving, ...[...lives.values()].map(({ record }) => record)];
  const swept = sweep(disks.directory, filesOf(all, snapshots));
  if (swept.length > 0) log("info", "removed unfinished disks", { names: swept.join(" ") });
}

async function adoptOne(id: string, { lives, launcher, log }: AdoptionGround): Promise<void> {
  const forgetRun = async (process: VmmProcess) => {
    await launcher.cleanUp(process);
    removeIfThere(launcher.directory(id));
  };
  const process = await launcher.find(id);
  const life = lives.get(id);
  if (process !== null && life !== undefined) {
    const { name } = life.record;
    if (process.isLeftStanding && life.resumesFrom !== null) {
      // It was saved, and was to end then. One that did has not run since; another is to go on, here.
      if (process.hasEnded) return await forgetRun(process);
      life.setResumesFrom(null);
    }
    life.adopt(process);
    log("info", "found a guest's VMM", { guest: name, pid: process.pid });
    return await process.goOnIfLeft();
  }
  if (process !== null) {
    await process.kill();
    return await forgetRun(process);
  }
  removeIfThere(launcher.directory(id));
}
