/**
 * Ends every guest before the host powers off: saved, or by its power button.
 *
 * @module
 */
import type { HostShutdownProgress, Task } from "../api/schemas.ts";
import { type Log, messageOf } from "../log.ts";
import type { GuestLife } from "./guest_life.ts";
import { firstToEnd, startGroups } from "./start_order.ts";

const POLL_MS = 200;
/** Their disks are shared: more at a time make each later, and none sooner. */
const SAVED_AT_A_TIME = 2;

export interface StopOptions {
  limitSeconds: number;
  saveSeconds: number;
  log: Log;
  /** Whether a guest that is paused may go on, to take notice of its power button. */
  mayGoOn: (guest: string) => boolean;
  /** Whether a guest is to be saved rather than shut down. */
  isSaved: (life: GuestLife) => boolean;
  /** Saves one and ends it; where it cannot, the guest runs on. */
  save: (life: GuestLife, options: { signal: AbortSignal }) => Promise<void>;
  /** What is under way with a guest. */
  taskOf: (guest: string) => Pick<Task, "doneAmount" | "totalAmount"> | undefined;
}

/** Where a guest is on its way to its end. */
interface Leaving {
  stage: "waits" | "is saved" | "was pressed" | "was forced";
  /** It is shut down, whatever was chosen. */
  notSaved: boolean;
  /** When it is ended. */
  deadline: number;
}

/** Has all guests end, in the reverse order of their start; tells how it goes, `done` last. */
export async function* stopAll(
  lives: () => GuestLife[],
  options: StopOptions,
): AsyncGenerator<HostShutdownProgress> {
  const { limitSeconds, saveSeconds, isSaved, save, mayGoOn, taskOf, log } = options;
  // Each place has its share of the time, so that one which hangs takes none of the others'.
  const places = startGroups(lives().filter((life) => life.isUp)).length;
  const limitMs = limitSeconds * 1000 / Math.max(1, places);
  const tooLong = AbortSignal.timeout(saveSeconds * 1000);
  const maySave = limitSeconds > 0 && saveSeconds > 0;
  const all = new Map<GuestLife, Leaving>();
  const tell = (what: string, { record }: GuestLife, error: unknown) =>
    log("warn", what, { guest: record.name, error: messageOf(error) });

  const saveOne = async (life: GuestLife, leaving: Leaving) => {
    leaving.stage = "is saved";
    try {
      await save(life, { signal: tooLong });
    } catch (error) {
      if (life.isUp) tell("cannot save a guest; it is shut down instead", life, error);
    }
    Object.assign(leaving, { stage: "waits", notSaved: true, deadline: Date.now() + limitMs });
  };
  const stop = (life: GuestLife, leaving: Leaving, force: boolean) => {
    leaving.stage = force ? "was forced" : "was pressed";
    stopOne(life, force || !mayGoOn(life.record.id)).catch((error) =>
      tell("cannot stop a guest for the host's shutdown", life, error)
    );
  };
  const advance = (life: GuestLife, leaving: Leaving) => {
    const { stage, notSaved, deadline } = leaving;
    if (stage === "is saved" || stage === "was forced") return;
    const wanted = maySave && !notSaved && life.state === "running" && stage === "waits" &&
      !tooLong.aborted && mayGoOn(life.record.id) && isSaved(life);
    if (wanted) {
      const count = [...all.values()].filter((it) => it.stage === "is saved").length;
      if (count < SAVED_AT_A_TIME) void saveOne(life, leaving);
      else leaving.deadline = Date.now() + limitMs;
      return;
    }
    if (Date.now() >= deadline) stop(life, leaving, true);
    else if (stage === "waits" && life.state !== "starting") stop(life, leaving, false);
  };

  const forced = new Set<string>();
  for (let told = "";;) {
    const up = lives().filter((life) => life.isUp);
    for (const life of firstToEnd(up)) {
      const deadline = Date.now() + limitMs;
      if (!all.has(life)) all.set(life, { stage: "waits", notSaved: false, deadline });
      const leaving = all.get(life)!;
      advance(life, leaving);
      if (leaving.stage === "was forced") forced.add(life.record.name);
    }
    const saving = up.filter((life) => all.get(life)?.stage === "is saved");
    const progress: HostShutdownProgress = {
      done: up.length === 0,
      running: up.map((life) => life.record.name).sort(),
      saving: saving.map(({ record: { id, name } }) => ({ name, percent: percentOf(taskOf(id)) }))
        .sort((a, b) => a.name < b.name ? -1 : 1),
      forced: [...forced].sort(),
    };
    const text = JSON.stringify(progress);
    if (text !== told) yield progress;
    told = text;
    if (progress.done) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function percentOf(task: ReturnType<StopOptions["taskOf"]>): number {
  const { doneAmount, totalAmount } = task ?? { doneAmount: 0, totalAmount: 0 };
  return totalAmount === 0 ? 0 : Math.floor(100 * Math.min(1, doneAmount / totalAmount));
}

async function stopOne(life: GuestLife, force: boolean): Promise<void> {
  if (force) return await life.end();
  // Whoever is paused takes no notice of a button.
  if (life.phase === "paused") await life.resume();
  if (life.state === "running") await life.stop({ force });
}
