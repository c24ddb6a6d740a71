/**
 * What the boot loader and process 1 tell each other: one sector on the disk that either can write in
 * one piece. Its form is GRUB's environment block, in an archive, as GRUB writes to files alone.
 *
 * @module
 */
import { archiveEnd, fileHead, fileRecord, joined } from "../build/cpio.ts";

/** A place that a newer system can be written to. */
export type SlotName = "a" | "b";
/** A system on the disk: one in a slot, or the one that came with the disk's image. */
export type SystemName = SlotName | "image";

/** What the state holds. */
export interface BootState {
  /** The system that is known to start. */
  good: SystemName;
  /** The slot that the next start is to try; the loader clears this before it starts it. */
  try: SlotName | null;
  /** The slot that was tried last and is not known to be good: it runs now, or it has failed. */
  tried: SlotName | null;
}

/** As GRUB has it: two sectors, of which the second one is filling that never changes. */
export const STATE_BYTES = 1024;
/** What can change must lie in one sector, which a disk writes whole or not at all. */
const MOST_BYTES = 512;
const SIGNATURE = "# GRUB Environment Block\n";

/** Where the state lies in its partition. */
export const STATE_AT = 1024;
/** The archive's file; `../loader/grub.cfg` has the name too. */
const STATE_FILE = "state";

/** Of a disk on which no update was ever tried. */
export const FIRST_STATE: BootState = { good: "image", try: null, tried: null };

/** Lays the state out. */
export function encodeState(state: BootState): Uint8Array<ArrayBuffer> {
  const text = `${SIGNATURE}good=${state.good}\ntry=${state.try ?? ""}\ntried=${
    state.tried ?? ""
  }\n`;
  const bytes = new Uint8Array(STATE_BYTES).fill("#".charCodeAt(0));
  const { written } = new TextEncoder().encodeInto(text, bytes.subarray(0, MOST_BYTES));
  if (written !== text.length) throw new RangeError(`Cannot keep the boot state: ${text}`);
  return bytes;
}

/** The whole of a new disk's partition for it. */
export function statePartition(state: BootState): Uint8Array<ArrayBuffer> {
  const head = fileHead(STATE_FILE, STATE_BYTES, 2);
  const empty = fileRecord("filling", new Uint8Array(), 1);
  const room = STATE_AT - head.length - empty.reduce((sum, it) => sum + it.length, 0);
  const filling = fileRecord("filling", new Uint8Array(room), 1);
  return joined([...filling, head, encodeState(state), archiveEnd()]);
}

/**
 * Reads the state. As for the loader, what is damaged or unknown counts as not there: a system that
 * cannot be told is the image's.
 */
export function parseState(bytes: Uint8Array): BootState {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, STATE_BYTES));
  const state = { ...FIRST_STATE };
  if (!text.startsWith(SIGNATURE)) return state;
  for (const line of text.slice(SIGNATURE.length).split("\n")) {
    const [, name, value] = /^(good|try|tried)=(.*)$/.exec(line) ?? [];
    if (name === "good") state.good = isSlot(value) ? value : "image";
    if (name === "try" || name === "tried") state[name] = isSlot(value) ? value : null;
  }
  return state;
}

function isSlot(value: string): value is SlotName {
  return value === "a" || value === "b";
}
