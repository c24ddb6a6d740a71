/**
 * Process 1 as it is shipped, which then hangs: in the test's own image only, started in its place.
 *
 * @module
 */
import "../../../bootimg/boot/main.ts";

const timer = setInterval(() => {
  try {
    const state = Deno.readTextFileSync("/sys/class/watchdog/watchdog0/state").trim();
    if (state !== "active") return;
  } catch {
    return;
  }
  clearInterval(timer);
  while (true);
}, 500);
