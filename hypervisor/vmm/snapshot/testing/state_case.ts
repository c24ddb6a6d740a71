/**
 * State files that are right but for what somebody did to them, with and without making it look right.
 *
 * @module
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import type { Section } from "../../../machine/arena.ts";
import { decodeSections, encodeSections, SnapshotError } from "../format.ts";
import { decodeGuest, encodeGuest } from "../saved_guest.ts";
import { savedGuest } from "./saved_guest.ts";

const GOOD = encodeGuest(savedGuest());

/** A file with a byte changed, cut off, or with more behind it. */
export type DamageCase =
  | { flip: number; bits: number }
  | { cut: number }
  | { more: Uint8Array };

export const damageCase: fc.Arbitrary<DamageCase> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ flip: fc.nat(GOOD.length - 1), bits: fc.integer({ min: 1, max: 255 }) }),
  },
  fc.record({ cut: fc.nat(GOOD.length - 1) }),
  fc.record({ more: fc.uint8Array({ minLength: 1, maxLength: 200 }) }),
);

function damaged(one: DamageCase): Uint8Array<ArrayBuffer> {
  if ("cut" in one) return GOOD.slice(0, one.cut);
  if ("more" in one) return Uint8Array.from([...GOOD, ...one.more]);
  const file = GOOD.slice();
  file[one.flip] ^= one.bits;
  return file;
}

function refused(file: Uint8Array<ArrayBuffer>): boolean {
  try {
    decodeGuest(file);
    return false;
  } catch (error) {
    // Anything else is the parser's own failure.
    if (!(error instanceof SnapshotError)) throw error;
    return true;
  }
}

/** What was damaged is refused, wherever. */
export function checkDamageCase(one: DamageCase): void {
  assert(refused(damaged(one)), "it was taken");
}

/** Sections that say anything, with digests that are right. */
export interface ForgeryCase {
  /** Sections that are left out, by their place. */
  without: number[];
  edits: { section: number; at: number; bytes: Uint8Array; version?: number; length?: number }[];
  /** What the description says, as JSON, in place of what it said. */
  description?: unknown;
}

const sections = [...decodeSections(GOOD)];

export const forgeryCase: fc.Arbitrary<ForgeryCase> = fc.record({
  without: fc.oneof(
    { weight: 6, arbitrary: fc.constant<number[]>([]) },
    fc.array(fc.nat(sections.length - 1), { maxLength: 2 }),
  ),
  edits: fc.array(
    fc.record({
      section: fc.nat(sections.length - 1),
      at: fc.nat(5000),
      bytes: fc.uint8Array({ maxLength: 40 }),
      version: fc.option(fc.nat(3), { nil: undefined, freq: 12 }),
      length: fc.option(fc.nat(5000), { nil: undefined, freq: 8 }),
    }, { requiredKeys: ["section", "at", "bytes"] }),
    { maxLength: 4 },
  ),
  description: fc.option(
    fc.oneof(
      fc.jsonValue(),
      fc.jsonValue().map((one) => ({ ...description(), plugged: one })),
      fc.dictionary(fc.constantFrom("config", "memory", "settings", "takenAt"), fc.jsonValue())
        .map((one) => ({ ...description(), ...one })),
    ),
    { nil: undefined, freq: 3 },
  ),
}, { requiredKeys: ["without", "edits"] });

function description(): Record<string, unknown> {
  const [, { bytes }] = sections.find(([name]) => name === "guest")!;
  return JSON.parse(new TextDecoder().decode(bytes));
}

function forged(one: ForgeryCase): Uint8Array<ArrayBuffer> {
  const all = new Map<string, Section>(
    sections.map(([name, { version, bytes }]) => [name, { version, bytes: bytes.slice() }]),
  );
  if (one.description !== undefined) {
    const bytes = new TextEncoder().encode(JSON.stringify(one.description));
    all.set("guest", { version: 1, bytes });
  }
  for (const { section, at, bytes, version, length } of one.edits) {
    const [name] = sections[section];
    const it = all.get(name)!;
    if (it.bytes.length > 0) bytes.forEach((b, i) => it.bytes[(at + i) % it.bytes.length] = b);
    if (version !== undefined) it.version = version;
    if (length !== undefined) {
      const other = new Uint8Array(length);
      other.set(it.bytes.subarray(0, length));
      it.bytes = other;
    }
  }
  for (const index of one.without) all.delete(sections[index][0]);
  return encodeSections(all);
}

/** What was made up is refused, or is a guest like any other: it is written as it was read. */
export function checkForgeryCase(one: ForgeryCase): void {
  const file = forged(one);
  if (refused(file)) return;
  const guest = decodeGuest(file);
  const again = decodeGuest(encodeGuest(guest));
  assert(again.machine.vcpus.length === guest.config.cpus);
}
