/**
 * What a network device is made of, and the parts of it that were text.
 *
 * @module
 */
import { MAC_BYTES } from "./net_protocol.ts";
import type { RateLimit } from "./rate_limit.ts";

export interface NetOptions {
  /** Unique within the guest. */
  name: string;
  /** The tap's interface, whose counters are reported. */
  interfaceName: string;
  /** From `openTap`: a descriptor for each pair of queues. */
  taps: readonly number[];
  /** From `openVhostNet`, one for each pair; none without vhost. */
  vhosts: readonly number[];
  /** Such as "52:54:00:12:34:56". */
  mac: string;
  /** Bytes, 68 to 65535; the driver is told none without. */
  mtu?: number;
  /** From `canSegmentUdp`. */
  segmentsUdp?: boolean;
  /** Entries of each receive and transmit queue, a power of two from 64 to 1024; 256 without. */
  queueSize?: number;
  /** False while the cable is unplugged. */
  linkUp?: boolean;
  /** Of frames to the guest. */
  receiveLimit?: RateLimit;
  /** Of frames from the guest. */
  sendLimit?: RateLimit;
}

/** Parses "52:54:00:12:34:56"; throws a SyntaxError, or a RangeError where it is not a station's address. */
export function parseMac(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    throw new SyntaxError(
      `Cannot parse MAC address "${text}": expected six hexadecimal bytes such as 52:54:00:12:34:56`,
    );
  }
  const mac = Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
  if (!isStation(mac)) {
    const why = (mac[0] & 1) !== 0 ? "it is a group's, not a station's" : "it is all zeros";
    throw new RangeError(`Cannot use MAC address "${text}": ${why}`);
  }
  return mac;
}

/** Whether an address can be a card's own. */
export function isStation(mac: Uint8Array): boolean {
  return mac.length === MAC_BYTES && (mac[0] & 1) === 0 && mac.some((byte) => byte !== 0);
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

const CHANGES = ["linkUp", "receiveLimit", "sendLimit", "announce"];

/** Throws a TypeError where a change of the card `name` is of what cannot be, or to what cannot be. */
export function checkNetChange(name: string, change: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(change).find((key) => !CHANGES.includes(key));
  if (unknown !== undefined) {
    throw new TypeError(
      `Cannot change ${name}'s "${unknown}": what can be is ${CHANGES.join(", ")}`,
    );
  }
  for (const key of ["linkUp", "announce"]) {
    const value = change[key];
    if (value !== undefined && typeof value !== "boolean") {
      throw new TypeError(
        `Cannot change ${name}'s ${key} to ${JSON.stringify(value)}: it must be true or false`,
      );
    }
  }
}
