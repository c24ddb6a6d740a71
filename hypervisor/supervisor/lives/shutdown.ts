/**
 * Stops every guest before the host powers off.
 *
 * @module
 */
import type { HostShutdownProgress } from "../api/schemas.ts";
import { type Log, messageOf } from "../log.ts";
import type { GuestLife } from "./guest_life.ts";

const POLL_MS = 200;

/** Presses power buttons, ends after the limit those that still run; tells how it goes, `done` last. */
export async function* stopAll(
  lives: () => GuestLife[],
  options: {
    limitSeconds: number;
    log: Log;
    /** Whether a guest that is paused may go on, to take notice of its power button. */
    mayGoOn: (guest: string) => boolean;
  },
): AsyncGenerator<HostShutdownProgress> {
  const forced = new Set<string>();
  const deadline = Date.now() + options.limitSeconds * 1000;
  const pressed = new Set<GuestLife>();
  let told = "";
  while (true) {
    const up = lives().filter((life) => life.isUp);
    const late = Date.now() >= deadline;
    for (const life of up) {
      if (late ? !forced.has(life.record.name) : !pressed.has(life)) {
        if (life.state === "starting" && !late) continue;
        pressed.add(life);
        if (late) forced.add(life.record.name);
        stopOne(life, late || !options.mayGoOn(life.record.id)).catch((error) =>
          options.log("warn", "cannot stop a guest for the host's shutdown", {
            guest: life.record.name,
            error: messageOf(error),
          })
        );
      }
    }
    const progress: HostShutdownProgress = {
      done: up.length === 0,
      running: up.map((life) => life.record.name).sort(),
      forced: [...forced].sort(),
    };
    const text = JSON.stringify(progress);
    if (text !== told) yield progress;
    told = text;
    if (progress.done) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function stopOne(life: GuestLife, force: boolean): Promise<void> {
  if (force) return await life.end();
  // Whoever is paused takes no notice of a button.
  if (life.phase === "paused") await life.resume();
  if (life.state === "running") await life.stop({ force });
}
