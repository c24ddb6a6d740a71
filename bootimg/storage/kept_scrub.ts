/**
 * What is kept of comparisons of the two disks, on the pool itself.
 *
 * @module
 */
import type { Scrub } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { dirname, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";

export interface KeptScrub {
  last: Scrub["last"];
  /** When the pool was seen first: the first comparison is due a month later. */
  since: string;
}

const VERSION = 1;
const MOST_BYTES = 4096;

/** Reads what is kept; what cannot be right counts as not there. */
export function parseScrub(text: string): KeptScrub | null {
  let value;
  try {
    value = text.length > MOST_BYTES ? null : JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || value.version !== VERSION) return null;
  const { since, last } = value;
  if (!isTime(since)) return null;
  const isGood = typeof last === "object" && last !== null && isTime(last.at) &&
    Number.isSafeInteger(last.mismatchedSectors) && last.mismatchedSectors >= 0;
  return {
    since,
    last: isGood ? { at: last.at, mismatchedSectors: last.mismatchedSectors } : null,
  };
}

/** The file that it is kept in. */
export class ScrubFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  read(): KeptScrub | null {
    try {
      return parseScrub(Deno.readTextFileSync(this.#path));
    } catch {
      return null;
    }
  }

  write(kept: KeptScrub): void {
    Deno.mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    writeFileDurably(this.#path, JSON.stringify({ version: VERSION, ...kept }) + "\n");
  }
}

function isTime(value: unknown): value is string {
  return typeof value === "string" && value.length < 40 && Number.isFinite(Date.parse(value));
}
