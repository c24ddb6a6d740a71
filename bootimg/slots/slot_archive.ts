/**
 * What is in a slot: an archive, since the loader reads those, with the system as one file. There is no
 * file system to be damaged by a power cut, and without its first sector it is none at all.
 *
 * @module
 */
import { align, archiveEnd, fileHead, fileRecord, joined } from "../build/cpio.ts";
import { isVersion, type SystemFacts } from "../update/statement.ts";

/** The folder of a system's files, in a slot as on the boot partition. */
export const SYSTEM_FOLDER = "EFI/denovisor";
/** The system: the unified kernel image. */
export const SYSTEM_FILE = `${SYSTEM_FOLDER}/denovisor.efi`;
/** What the loader needs to start that under a BIOS. */
export const BIOS_FILE = `${SYSTEM_FOLDER}/bios.cfg`;
const FACTS_FILE = `${SYSTEM_FOLDER}/slot.json`;

/** The archive but for the system's bytes, which lie between the two. */
export function slotArchive(
  facts: SystemFacts,
  biosConfig: string,
): { before: Uint8Array<ArrayBuffer>; behind: Uint8Array<ArrayBuffer> } {
  const text = (value: string) => new TextEncoder().encode(value);
  const before = joined([
    ...fileRecord(FACTS_FILE, text(JSON.stringify(facts)), 1),
    ...fileRecord(BIOS_FILE, text(biosConfig), 2),
    fileHead(SYSTEM_FILE, facts.bytes, 3),
  ]);
  const filling = new Uint8Array(align(facts.bytes) - facts.bytes);
  return { before, behind: joined([filling, archiveEnd()]) };
}

/** How much of a slot's beginning tells what is in it. */
export const FACTS_BYTES = 4096;
const HEADER_BYTES = 110;

/** Reads what the beginning of a slot tells of its system; null if there is none. */
export function parseFacts(head: Uint8Array): SystemFacts | null {
  const text = new TextDecoder("latin1").decode(head.subarray(0, FACTS_BYTES));
  const [, length] = /^070701[0-9a-f]{48}([0-9a-f]{8})[0-9a-f]{48}/.exec(text) ?? [];
  const at = align(HEADER_BYTES + FACTS_FILE.length + 1);
  if (length === undefined || !text.startsWith(`${FACTS_FILE}\0`, HEADER_BYTES)) return null;
  try {
    const { version, bytes, sha256 } = JSON.parse(text.slice(at, at + parseInt(length, 16)));
    const isRight = typeof version === "string" && isVersion(version) &&
      Number.isSafeInteger(bytes) && bytes > 0 &&
      typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256);
    return isRight ? { version, bytes, sha256 } : null;
  } catch {
    return null;
  }
}
