/**
 * Has hardware restart this host if process 1 hangs, or the supervisor for so long that nothing else
 * has helped.
 *
 * @module
 */
import { Watchdog } from "../../hypervisor/sys/watchdog.ts";
import type { Coldplug } from "./coldplug.ts";
import type { FeedingRule } from "./feeding_rule.ts";
import { log, reason } from "./log.ts";
import { exists, names, read } from "./sysfs.ts";

/** How long after the last feeding the host is restarted. */
const TIMEOUT_SECONDS = 60;
const FEED_MS = 5_000;
/** How long a machine's own may take to appear before the kernel's stands in for it. */
const HARDWARE_MS = 15_000;
const FALLBACK_MS = 5_000;
const FOLDER = "/sys/class/watchdog";

/** Finds a watchdog, starts it, and feeds it for as long as `rule` allows. */
export async function guardHost(coldplug: Coldplug, rule: FeedingRule): Promise<void> {
  const find = () => names(FOLDER).find((it) => exists(`/dev/${it}`));
  let name = await coldplug.until("watchdog", find, HARDWARE_MS);
  if (name === undefined) {
    await coldplug.load("softdog");
    name = await coldplug.until("watchdog", find, FALLBACK_MS);
  }
  if (name === undefined) {
    throw new Error("this machine has none, and the kernel's cannot be loaded");
  }
  const watchdog = new Watchdog(`/dev/${name}`, TIMEOUT_SECONDS);
  const identity = read(`${FOLDER}/${name}/identity`) ?? name;
  log(`the watchdog is ${identity}; it restarts a host that hangs for ${watchdog.seconds} s`);
  let isFed = true;
  const feed = () => {
    try {
      const may = rule.mayFeed(performance.now());
      if (may) watchdog.feed();
      else if (isFed) {
        log(`nothing brings the supervisor back; restarting in ${watchdog.seconds} s`, "error");
      }
      isFed = may;
    } catch (error) {
      if (isFed) log(`Cannot feed the watchdog: ${reason(error)}`, "error");
      isFed = false;
    }
  };
  feed();
  setInterval(feed, Math.min(FEED_MS, watchdog.seconds * 1000 / 4));
}
