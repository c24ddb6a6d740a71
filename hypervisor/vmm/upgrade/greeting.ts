/**
 * What a VMM says first of the guest that it is about to hand over: as `migrate/frames.ts` has it, and of
 * what the guest has open, which comes along.
 *
 * @module
 */
import { decodeHello, encodeHello, type Hello, MigrationError } from "../migrate/frames.ts";
import type { HeldName } from "./held.ts";

/**
 * What is said. A release that changes it takes guests over from the one before all the same: who gives speaks
 * its own version, and who takes understands that and its own, and answers in what it was greeted in.
 */
export const UPGRADE_VERSION = 1;

/**
 * How RAM comes: as the file that it is; as the file of which it is a private copy, and what is other in the
 * copy; or all of it, from memory behind which no file is.
 */
export const RAM_KINDS = ["shared", "copied", "private"] as const;
export type RamKind = typeof RAM_KINDS[number];

export interface Greeting extends Hello {
  ram: RamKind;
  /** Behind RAM's descriptor, if there is one, theirs come in this order. */
  held: HeldName[];
}

/** Devices, and descriptors of each. */
const MAX_HELD = 64;
const MAX_EACH = 16;
/** Of characters, which may be several bytes each. */
const MAX_REASON = 500;

export function encodeGreeting(greeting: Greeting): Uint8Array<ArrayBuffer> {
  return encodeHello(greeting);
}

/** Throws a {@linkcode MigrationError} or a ConfigError that says what is wrong. */
export function decodeGreeting(body: Uint8Array, newest = UPGRADE_VERSION): Greeting {
  const hello = decodeHello(body, newest);
  const { ram, held } = JSON.parse(new TextDecoder().decode(body));
  if (!RAM_KINDS.includes(ram)) {
    throw new MigrationError("Cannot understand the other VMM: it does not say how memory comes");
  }
  if (!Array.isArray(held) || held.length > MAX_HELD || !held.every(isHeld)) {
    throw new MigrationError("Cannot understand the other VMM: it does not say what is open");
  }
  return { ...hello, ram, held };
}

function isHeld(value: unknown): value is HeldName {
  if (typeof value !== "object" || value === null) return false;
  const { name, count, segmentsUdp = false } = value as Record<string, unknown>;
  return typeof name === "string" && Number.isInteger(count) && (count as number) > 0 &&
    (count as number) <= MAX_EACH && typeof segmentsUdp === "boolean";
}

/** How a guest stood in its VMM. */
export interface Standing {
  /** When it was started, milliseconds since the epoch. */
  startedAt: number;
  /** Why it did not run, and is not to; absent where it did. */
  pausedFor?: string;
}

export function encodeStanding({ startedAt, pausedFor }: Standing): Uint8Array<ArrayBuffer> {
  const short = pausedFor?.slice(0, MAX_REASON);
  return new TextEncoder().encode(JSON.stringify({ startedAt, pausedFor: short }));
}

/** Throws an error that says what is wrong. */
export function decodeStanding(body: Uint8Array): Standing {
  const { startedAt, pausedFor } = JSON.parse(new TextDecoder().decode(body)) ?? {};
  if (typeof startedAt !== "number" || !["string", "undefined"].includes(typeof pausedFor)) {
    throw new MigrationError(
      "Cannot understand the other VMM: it does not say how the guest stood",
    );
  }
  return { startedAt, pausedFor };
}

/** How many descriptors come. */
export function descriptorsOf({ ram, held }: Pick<Greeting, "ram" | "held">): number {
  return held.reduce((sum, { count }) => sum + count, ram === "private" ? 0 : 1);
}
