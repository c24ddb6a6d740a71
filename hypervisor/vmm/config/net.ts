/** Network cards of a configuration. @module */
import type { NetConfig } from "../control.ts";
import { ConfigError, flag, record, refuse, text, whole } from "./fields.ts";
import { rateLimit } from "./rate_limit.ts";

/** IFNAMSIZ, with its 0 */
const MAX_TAP_NAME = 15;
const MAX_QUEUES = 8;
const QUEUE_SIZES = [64, 128, 256, 512, 1024];
/** What Linux lets a tap have. */
const MTU = { min: 68, max: 65521 };

const FIELDS = [
  "tap",
  "mac",
  "queues",
  "queueSize",
  "mtu",
  "linkUp",
  "receiveLimit",
  "sendLimit",
] as const;

export function net(value: unknown): NetConfig {
  const n = record(value, "a network card", FIELDS);
  const tap = text(n.tap, "the tap");
  if (!/^[^/\s]+$/.test(tap) || tap.length > MAX_TAP_NAME) {
    refuse("the tap", tap, `an interface's name has at most ${MAX_TAP_NAME} characters`);
  }
  const mac = text(n.mac, "the MAC address").toLowerCase();
  if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac)) {
    refuse("the MAC address", n.mac, 'it must be unicast, such as "52:54:00:12:34:56"');
  }
  const number = (field: "queues" | "mtu" | "queueSize", range: { min: number; max: number }) =>
    n[field] === undefined ? undefined : whole(n[field], `a network card's ${field}`, range);
  const queueSize = number("queueSize", { min: 64, max: 1024 });
  if (queueSize !== undefined && !QUEUE_SIZES.includes(queueSize)) {
    refuse("a network card's queueSize", queueSize, `it must be one of ${QUEUE_SIZES.join(", ")}`);
  }
  const card: NetConfig = {
    tap,
    mac,
    queues: number("queues", { min: 1, max: MAX_QUEUES }),
    queueSize,
    mtu: number("mtu", MTU),
    linkUp: flag(n.linkUp, "a network card's linkUp"),
    receiveLimit: rateLimit(n.receiveLimit, "a network card's receiveLimit"),
    sendLimit: rateLimit(n.sendLimit, "a network card's sendLimit"),
  };
  for (const field of FIELDS) if (card[field] === undefined) delete card[field];
  return card;
}

/** Options of `--net`, by how they are written, and where they go. */
const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  "queues": ["queues"],
  "queue-size": ["queueSize"],
  "mtu": ["mtu"],
  "receive-frames": ["receiveLimit", "operationsPerSecond"],
  "receive-bytes": ["receiveLimit", "bytesPerSecond"],
  "send-frames": ["sendLimit", "operationsPerSecond"],
  "send-bytes": ["sendLimit", "bytesPerSecond"],
};

export const NET_FLAG_HELP =
  "--net TAP[,mac=MAC][,queues=N][,queue-size=N][,mtu=BYTES][,link=down][,receive-frames=PER_SECOND]" +
  "[,receive-bytes=PER_SECOND][,send-frames=PER_SECOND][,send-bytes=PER_SECOND]";

/** `TAP,mac=MAC,queues=2` as a configuration has it, yet to be checked. */
export function netFromFlag(text: string, index: number): Record<string, unknown> {
  const [tap, ...options] = text.split(",");
  // 52:54:00 is where virtual machines' addresses commonly are.
  const mac = `52:54:00:00:00:${(index + 1).toString(16).padStart(2, "0")}`;
  const card: Record<string, unknown> = { tap, mac };
  for (const option of options) {
    const [, key, value] = /^([a-z-]+)=(.+)$/.exec(option) ?? [];
    const [field, within] = (Object.hasOwn(NUMBERS, key ?? "") ? NUMBERS[key] : undefined) ?? [];
    if (key === "mac") card.mac = value;
    else if (option === "link=down") card.linkUp = false;
    else if (field !== undefined && within === undefined) card[field] = Number(value);
    else if (field !== undefined) {
      card[field] = { ...(card[field] as Record<string, number>), [within]: Number(value) };
    } else {
      throw new ConfigError(`Cannot use --net option "${option}": ${NET_FLAG_HELP}`);
    }
  }
  return card;
}
