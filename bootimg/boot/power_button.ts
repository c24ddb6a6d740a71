/**
 * What asks the host to end: the power button, Ctrl-Alt-Del, and signals.
 *
 * @module
 */
import {
  EV_KEY,
  hasKey,
  INPUT_EVENT_BYTES,
  KEY_POWER,
  parseInputEvents,
} from "../../hypervisor/sys/input_events.ts";
import { catchCtrlAltDel, type PowerCommand } from "../../hypervisor/sys/reboot.ts";
import type { Coldplug } from "./coldplug.ts";
import { attempt, log } from "./log.ts";
import { exists, names, read } from "./sysfs.ts";

/** Signals to PID 1, as the usual commands `poweroff`, `reboot` and Linux's Ctrl-Alt-Del send them. */
const SIGNALS: Partial<Record<Deno.Signal, PowerCommand>> = {
  SIGUSR2: "poweroff",
  SIGTERM: "reboot",
  SIGINT: "reboot",
};

/** Calls `onRequest` whenever the host is asked to end. */
export function watchPower(
  coldplug: Coldplug,
  onRequest: (command: PowerCommand) => void,
): void {
  for (const [signal, command] of Object.entries(SIGNALS)) {
    Deno.addSignalListener(signal as Deno.Signal, () => onRequest(command));
  }
  attempt("Cannot take over Ctrl-Alt-Del", catchCtrlAltDel);
  const watched = new Set<string>();
  const look = () => {
    for (const name of names("/sys/class/input")) {
      if (!name.startsWith("event") || watched.has(name)) continue;
      const keys = read(`/sys/class/input/${name}/device/capabilities/key`);
      if (keys === null || !hasKey(keys, KEY_POWER) || !exists(`/dev/input/${name}`)) continue;
      watched.add(name);
      attempt(`Cannot listen to the power button ${name}`, async () => {
        await readButton(`/dev/input/${name}`, () => onRequest("poweroff"));
      }).finally(() => watched.delete(name));
    }
  };
  coldplug.listen((event) => {
    if (event.env.SUBSYSTEM === "input") look();
  });
  look();
}

/** Each button that is listened to holds one of the runtime's 32 blocking threads. */
async function readButton(path: string, onPress: () => void): Promise<void> {
  using device = await Deno.open(path);
  log(`listening to the power button ${path}`);
  const buffer = new Uint8Array(64 * INPUT_EVENT_BYTES);
  while (true) {
    const length = await device.read(buffer);
    if (length === null) return;
    const pressed = parseInputEvents(buffer.subarray(0, length))
      .some((it) => it.type === EV_KEY && it.code === KEY_POWER && it.value === 1);
    if (pressed) onPress();
  }
}
