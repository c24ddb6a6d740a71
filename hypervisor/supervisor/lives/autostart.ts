/**
 * Starting guests with the host.
 *
 * @module
 */
import { type Log, messageOf } from "../log.ts";
import type { GuestLife } from "./guest_life.ts";

/** Starts those that are to start with the host; each on its own. */
export async function startAll(lives: readonly GuestLife[], log: Log): Promise<void> {
  await Promise.all(lives.map(async (life) => {
    if (!life.record.autostart || life.isUp) return;
    try {
      await life.start();
    } catch (error) {
      log("error", "cannot start a guest with the host", {
        guest: life.record.name,
        error: messageOf(error),
      });
    }
  }));
}
