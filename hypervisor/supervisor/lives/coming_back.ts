/**
 * Guests that come back with the host: those that were saved as it ended go on, and those that are to start
 * with it do.
 *
 * @module
 */
import { delay } from "@std/async";
import { type Log, messageOf } from "../log.ts";
import { isSave } from "../store/saves.ts";
import type { GuestLife } from "./guest_life.ts";
import { pauseAfter, startGroups } from "./start_order.ts";
import type { Tasks } from "./tasks.ts";

export interface BackGround {
  tasks: Tasks;
  log: Log;
  /** Whether guests are being ended, and none is to be started any more. */
  isShuttingDown: () => boolean;
  /** Aborts when nobody is to look after guests any more, which run on. */
  released: AbortSignal;
  /** Removes what a guest does not go on from any more. */
  sweep: (guest: string) => void;
}

const LOOK_MS = 50;

export interface AllBackGround extends BackGround {
  mayStart: (guest: string) => boolean;
  /** Those are back whose turn has come; others wait for as long as somebody has said. */
  pauses: () => void;
}

/** Resolves when all are up that are to be, or cannot be; each on its own, one place after the other. */
export async function bringAllBack(
  lives: readonly GuestLife[],
  ground: AllBackGround,
): Promise<void> {
  const isOver = () => ground.released.aborted || ground.isShuttingDown();
  const own = lives.filter(({ record, resumesFrom }) => record.autostart || resumesFrom !== null);
  let wait = 0;
  for (const group of startGroups(own)) {
    if (wait > 0) ground.pauses();
    for (const end = Date.now() + wait * 1000; Date.now() < end && !isOver();) {
      await delay(Math.min(LOOK_MS, end - Date.now()));
    }
    if (isOver()) return;
    const isStarted = await Promise.all(group.map((life) => bringBack(life, ground)));
    wait = pauseAfter(group.filter((_, i) => isStarted[i]));
  }
}

/** Whether it had to be started, and is up. */
async function bringBack(life: GuestLife, ground: AllBackGround): Promise<boolean> {
  const { id, name: guest, autostart } = life.record;
  try {
    // An earlier supervisor may have begun to start it.
    while (life.state === "starting" && !ground.released.aborted) await delay(LOOK_MS);
    const wasSaved = life.resumesFrom !== null && isSave(life.resumesFrom);
    if (life.isUp || !(autostart || wasSaved) || !ground.mayStart(id)) return false;
    await startAgain(life, ground);
    return true;
  } catch (error) {
    ground.log("error", "cannot start a guest with the host", { guest, error: messageOf(error) });
    return false;
  }
}

/**
 * Starts a guest. Where one that was saved cannot go on, it boots, once that the save is good for nothing is
 * written down; a task tells that it failed, and why.
 */
export async function startAgain(life: GuestLife, ground: BackGround): Promise<void> {
  const { resumesFrom, record: { id, name } } = life;
  if (resumesFrom === null || !isSave(resumesFrom)) return await life.start();
  const { tasks, log, isShuttingDown, sweep } = ground;
  const { lastEnd } = life;
  const gone = Promise.withResolvers<"on" | "not on">();
  tasks.begin({ kind: "restore", guest: life.record, detail: "", unit: "steps" }, async (work) => {
    work.phase("Going on from its saved memory", { final: true });
    try {
      await life.start();
      gone.resolve("on");
    } catch (error) {
      // What keeps it from any start keeps the save; so does the host's end, and whoever let it go used it.
      const wasTried = life.lastEnd !== lastEnd && life.resumesFrom === resumesFrom;
      if (!wasTried || isShuttingDown()) {
        gone.reject(error);
        throw error;
      }
      try {
        life.setResumesFrom(null);
        gone.resolve("not on");
      } catch (cause) {
        gone.reject(cause);
      }
      const why = life.record.error ?? messageOf(error);
      log("warn", "a saved guest cannot go on, and boots instead", { guest: name, error: why });
      throw new Error(`${why}. It boots instead, as after a power cut`);
    }
  });
  if (await gone.promise === "not on") await life.start();
  sweep(id);
}
