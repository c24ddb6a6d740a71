/**
 * What becomes of each guest when the host ends.
 *
 * @module
 */
import type { AtShutdown } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SettingStore } from "../store/settings.ts";

const DEFAULT: AtShutdown = "save";

/** What the host has for all, and what was said for this once. */
export class AtShutdownChoice {
  readonly #settings: Pick<SettingStore, "get" | "set">;
  /** For the end of the host that comes next, whatever is kept; null for what is. */
  once: AtShutdown | null = null;

  constructor(settings: Pick<SettingStore, "get" | "set">) {
    this.#settings = settings;
  }

  /** For guests that start with the host and have no choice of their own. */
  get ofHost(): AtShutdown {
    return this.#settings.get("at_shutdown") === "shutdown" ? "shutdown" : DEFAULT;
  }

  set ofHost(choice: AtShutdown) {
    this.#settings.set("at_shutdown", choice);
  }

  /** For one; it may be another the next moment. */
  of({ atShutdown, autostart }: Pick<GuestRecord, "atShutdown" | "autostart">): AtShutdown {
    return this.once ?? atShutdown ?? (autostart ? this.ofHost : "shutdown");
  }
}
