/**
 * The machine's watchdog: it restarts the machine unless it hears from process 1 again and again.
 *
 * @module
 */

/** Where Linux has the first watchdog that it found a driver for. */
export const WATCHDOG = "/dev/watchdog";

/** No driver's own time is shorter than six of these. */
const ALIVE_MS = 5000;
/** What has it disarmed when its file is closed, instead of restarting the machine. */
const DISARM = "V";

export interface Watchdog {
  stop(): void;
}

/** Arms the watchdog at `path`. It stays armed if this process dies. */
export function startWatchdog(path: string, aliveMs = ALIVE_MS): Watchdog {
  const device = Deno.openSync(path, { write: true });
  const say = (text: string) => device.writeSync(new TextEncoder().encode(text));
  const timer = setInterval(() => say("."), aliveMs);
  return {
    stop() {
      clearInterval(timer);
      say(DISARM);
      device.close();
    },
  };
}
