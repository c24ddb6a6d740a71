/** Network cards of a configuration. @module */
import type { NetConfig } from "../control.ts";
import { record, refuse, text } from "./fields.ts";

/** IFNAMSIZ, with its 0 */
const MAX_TAP_NAME = 15;

export function net(value: unknown): NetConfig {
  const n = record(value, "a network card", ["tap", "mac"]);
  const tap = text(n.tap, "the tap");
  if (!/^[^/\s]+$/.test(tap) || tap.length > MAX_TAP_NAME) {
    refuse("the tap", tap, `an interface's name has at most ${MAX_TAP_NAME} characters`);
  }
  const mac = text(n.mac, "the MAC address").toLowerCase();
  if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac)) {
    refuse("the MAC address", n.mac, 'it must be unicast, such as "52:54:00:12:34:56"');
  }
  return { tap, mac };
}
