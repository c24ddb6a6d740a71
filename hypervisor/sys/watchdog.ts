/**
 * The hardware that restarts a machine unless it hears of it in time: /dev/watchdog.
 *
 * @module
 */
import { check } from "./errno.ts";
import { O_WRONLY, open } from "./files.ts";
import { ioctlBuffer, ior, iowr } from "./ioctl.ts";

const TYPE = "W".charCodeAt(0);
/** linux/watchdog.h */
export const WDIOC = {
  KEEPALIVE: ior(TYPE, 5, 4),
  SETTIMEOUT: iowr(TYPE, 6, 4),
  GETTIMEOUT: ior(TYPE, 7, 4),
} as const;

/** One that runs from the moment it is opened, and is never closed: that could stop it. */
export class Watchdog {
  readonly #fd: number;
  /** How long it waits for the next {@linkcode feed}. */
  readonly seconds: number;

  /** It takes the time nearest to `seconds` that it can. */
  constructor(path: string, seconds: number) {
    this.#fd = open(path, O_WRONLY);
    const value = new Uint8Array(4);
    const view = new DataView(value.buffer);
    view.setInt32(0, seconds, true);
    if (ioctlBuffer(this.#fd, WDIOC.SETTIMEOUT, value) < 0) {
      check(ioctlBuffer(this.#fd, WDIOC.GETTIMEOUT, value), `ask "${path}" for its time`);
    }
    this.seconds = view.getInt32(0, true);
  }

  feed(): void {
    check(ioctlBuffer(this.#fd, WDIOC.KEEPALIVE, new Uint8Array(4)), "feed the watchdog");
  }
}
