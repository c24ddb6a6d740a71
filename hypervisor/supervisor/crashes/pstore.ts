/**
 * What the kernel kept of its own crash over the restart: in the firmware's variables, in a server's
 * error memory or in RAM. Linux shows it as files in pieces.
 *
 * @module
 */
import { join } from "@std/path";
import { type Log, messageOf } from "../log.ts";
import type { Crashes, NewCrash } from "./crashes.ts";

/** A file of Linux's. */
export interface PstoreRecord {
  name: string;
  time: Date;
  text: string;
}

const MOST_RECORDS = 512;
const MOST_RECORD_BYTES = 256 * 1024;

/** Takes what there is in `folder` over to the crashes, and gives its room back. */
export function takePstore(folder: string, { crashes, log }: { crashes: Crashes; log: Log }): void {
  const records = readRecords(folder, log);
  for (const { crash, names } of crashesOf(records)) {
    // Only what is on the disk may go from where it was.
    crashes.add(crash);
    log("error", "the kernel had crashed", { title: crash.title, time: crash.time });
    for (const name of names) {
      try {
        Deno.removeSync(join(folder, name));
      } catch (error) {
        log("warn", "cannot remove what the kernel kept", { name, error: messageOf(error) });
      }
    }
  }
}

function readRecords(folder: string, log: Log): PstoreRecord[] {
  const records: PstoreRecord[] = [];
  let names: string[];
  try {
    names = [...Deno.readDirSync(folder)].filter((it) => it.isFile).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  for (const name of names.slice(0, MOST_RECORDS)) {
    try {
      const path = join(folder, name);
      const bytes = Deno.readFileSync(path).subarray(0, MOST_RECORD_BYTES);
      // What another kernel has packed, in a way that this one does not know.
      const text = name.endsWith(".z")
        ? `${bytes.length} bytes that cannot be unpacked:\n${bytes.toBase64()}\n`
        : new TextDecoder().decode(bytes);
      records.push({ name, time: Deno.statSync(path).mtime ?? new Date(), text });
    } catch (error) {
      log("warn", "cannot read what the kernel kept", { name, error: messageOf(error) });
    }
  }
  return records;
}

/** "dmesg-efi_pstore-171234567801001", "dmesg-erst-5794...", "console-ramoops-0", and packed ones. */
const NAME = /^([a-z]+)-([a-z0-9_-]+?)-(\d+)(\.enc\.z)?$/;
/** The first line of a piece of the log; part 1 is the newest. */
const HEAD = /^(\w{1,20})#(\d{1,10}) Part(\d{1,6})\n/;

/** How long after a piece the next may come; the firmware of an emulated PC takes seconds for each. */
const LONGEST_WRITE_MS = 5 * 60_000;

/** What of a crash's log says most. */
const TITLES = [
  /Kernel panic - not syncing: [^\n]+/,
  /BUG: [^\n]+/,
  /Unable to handle [^\n]+/,
  /Oops: [^\n]+/,
  /watchdog: [^\n]+/,
];

interface Piece {
  record: PstoreRecord;
  /** What all pieces of one crash have in common, and perhaps those of another start. */
  kind: string;
  why: string | null;
  part: number;
}

function pieceOf(record: PstoreRecord): Piece {
  const [, type = "other", backend = "", number = ""] = NAME.exec(record.name) ?? [];
  const [, why, count, part] = HEAD.exec(record.text) ?? [];
  // What is no piece stands for itself.
  return why === undefined
    ? { record, kind: [type, backend, number || record.name].join("/"), why: null, part: 1 }
    : { record, kind: [type, backend, why, count].join("/"), why, part: Number(part) };
}

/** The crashes that records are pieces of, each with the names of its records. */
export function crashesOf(
  records: readonly PstoreRecord[],
): { crash: NewCrash; names: string[] }[] {
  // Firmware takes its time: the pieces of one crash are written one after the other, over seconds.
  const pieces = records.map(pieceOf).sort((a, b) =>
    a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : timeOf(a) - timeOf(b) || a.part - b.part
  );
  const groups: Piece[][] = [];
  for (const piece of pieces) {
    const last = groups.at(-1)?.at(-1);
    const goesOn = last !== undefined && last.kind === piece.kind && last.part < piece.part &&
      timeOf(piece) - timeOf(last) <= LONGEST_WRITE_MS;
    if (goesOn) groups.at(-1)!.push(piece);
    else groups.push([piece]);
  }
  return groups.map(toCrash);
}

function timeOf({ record }: Piece): number {
  return record.time.getTime();
}

/** `pieces` are of one crash, the newest of its log first. */
function toCrash(pieces: readonly Piece[]): { crash: NewCrash; names: string[] } {
  const [{ kind, why, record: { name, time } }] = pieces;
  const text = pieces.toReversed().map(({ record }) => record.text.replace(HEAD, "")).join("");
  const found = TITLES.map((it) => it.exec(text)?.[0]).find((it) => it !== undefined);
  return {
    crash: {
      ...{ kind: "kernel", time: time.toISOString(), guest: null, text },
      source: `${kind}/${Math.floor(time.getTime() / 1000)}`,
      title: found ?? (why === null ? `The kernel left ${name}` : `Kernel: ${why}`),
    },
    names: pieces.map(({ record }) => record.name),
  };
}
