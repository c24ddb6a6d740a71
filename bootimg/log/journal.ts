/**
 * The log on the data partition: files of JSON lines, each named by its first record. Records are
 * written in batches, since every write wakes a disk; the oldest file goes when there are too many.
 *
 * @module
 */
import { LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { removeIfThere, syncDirectory } from "../../hypervisor/supervisor/durable.ts";
import type { LogStore } from "./log_book.ts";

export interface JournalOptions {
  /** The size from which on a file is followed by another. */
  fileBytes?: number;
  files?: number;
  /** How long a record may wait for others to be written with, and one of an error. */
  batchMs?: number;
  errorMs?: number;
  /** How long to wait after the disk refused. */
  retryMs?: number;
  /** Told why the disk does not take records, once until it does again. */
  onTrouble?: (why: string) => void;
}

const FILE_BYTES = 1024 * 1024;
const FILES = 8;
const BATCH_MS = 60_000;
const ERROR_MS = 2_000;
const RETRY_MS = 5 * 60_000;
/** What waits is written at once when it is this much, and the oldest of it dropped when it is more. */
const BATCH_BYTES = 64 * 1024;
const MOST_WAITING_BYTES = 1024 * 1024;

const NAME = /^(\d{16})\.jsonl$/;
/** No file has more records than this many: a number beyond is no number of ours. */
const MOST_PER_FILE = 1_000_000;

interface Line {
  seq: number;
  bytes: Uint8Array;
}

/** Records in a folder. */
export class Journal implements LogStore {
  readonly #folder: string;
  readonly #options: Required<Omit<JournalOptions, "onTrouble">>;
  readonly #onTrouble: (why: string) => void;
  readonly #lastSeq: number;
  #waiting: Line[] = [];
  #waitingBytes = 0;
  #timer: { handle: ReturnType<typeof setTimeout>; due: number } | null = null;
  #writing: Promise<void> = Promise.resolve();
  #isInTrouble = false;
  #isClosed = false;

  private constructor(folder: string, lastSeq: number, options: JournalOptions) {
    const { onTrouble = () => {}, ...rest } = options;
    this.#folder = folder;
    this.#lastSeq = lastSeq;
    this.#onTrouble = onTrouble;
    this.#options = {
      ...{ fileBytes: FILE_BYTES, files: FILES },
      ...{ batchMs: BATCH_MS, errorMs: ERROR_MS, retryMs: RETRY_MS },
      ...rest,
    };
  }

  /** Takes up the journal in `folder`, or begins it. A line that a power cut tore is dropped. */
  static async open(folder: string, options: JournalOptions = {}): Promise<Journal> {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    let lastSeq = 0;
    for (const first of namesIn(folder).slice(-2)) {
      lastSeq = Math.max(lastSeq, first - 1);
      for (const { seq } of await readRecords(folder, first)) lastSeq = Math.max(lastSeq, seq);
    }
    const newest = namesIn(folder).at(-1);
    if (newest !== undefined) await dropTorn(pathOf(folder, newest));
    return new Journal(folder, lastSeq, options);
  }

  /** The last record that was there when it was opened. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  append(record: LogRecord): void {
    if (this.#isClosed) return;
    const bytes = new TextEncoder().encode(JSON.stringify(record) + "\n");
    this.#waiting.push({ seq: record.seq, bytes });
    this.#waitingBytes += bytes.length;
    while (this.#waitingBytes > MOST_WAITING_BYTES) {
      this.#waitingBytes -= this.#waiting.shift()!.bytes.length;
    }
    const { batchMs, errorMs } = this.#options;
    if (this.#isInTrouble) return;
    if (this.#waitingBytes >= BATCH_BYTES) this.#writeIn(0);
    else this.#writeIn(record.level === "error" ? errorMs : batchMs);
  }

  /** Writes what waits; returns once it is on the disk, or the disk has refused. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer.handle);
    this.#timer = null;
    return this.#writing = this.#writing.then(() => this.#write());
  }

  /** Writes what waits for the last time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
  }

  async *read({ from, to }: { from: number; to: number }): AsyncGenerator<LogRecord> {
    for (const first of this.#filesFor(from, to)) {
      for (const record of await readRecords(this.#folder, first)) {
        if (record.seq >= from && record.seq <= to) yield record;
      }
    }
  }

  async *readBackwards({ from, to }: { from: number; to: number }): AsyncGenerator<LogRecord> {
    for (const first of this.#filesFor(from, to).reverse()) {
      for (const record of (await readRecords(this.#folder, first)).reverse()) {
        if (record.seq >= from && record.seq <= to) yield record;
      }
    }
  }

  /** The files that records of the range may be in, by their first record. */
  #filesFor(from: number, to: number): number[] {
    const all = namesIn(this.#folder);
    return all.filter((first, i) => first <= to && (all[i + 1] ?? Infinity) > from);
  }

  /** Sees to it that what waits is written `ms` from now, or before. */
  #writeIn(ms: number): void {
    const due = performance.now() + ms;
    if (this.#timer !== null) {
      if (this.#timer.due <= due) return;
      clearTimeout(this.#timer.handle);
    }
    this.#timer = { handle: setTimeout(() => void this.flush(), ms), due };
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    if (lines.length === 0) return;
    this.#waiting = [];
    this.#waitingBytes = 0;
    let done = 0;
    try {
      while (done < lines.length) done += await this.#writeSome(lines.slice(done));
      this.#isInTrouble = false;
    } catch (error) {
      this.#keepWaiting(lines.slice(done));
      if (this.#isClosed) return;
      const isNew = !this.#isInTrouble;
      // Before it is told, for what tells it comes back here as a record.
      this.#isInTrouble = true;
      this.#writeIn(this.#options.retryMs);
      if (isNew) this.#onTrouble(error instanceof Error ? error.message : String(error));
    }
  }

  /** What could not be written waits before what came since. */
  #keepWaiting(lines: Line[]): void {
    this.#waiting = [...lines, ...this.#waiting];
    this.#waitingBytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes.length, 0);
    while (this.#waitingBytes > MOST_WAITING_BYTES) {
      this.#waitingBytes -= this.#waiting.shift()!.bytes.length;
    }
  }

  /** Writes as many lines as the newest file has room for; returns how many. */
  async #writeSome(lines: readonly Line[]): Promise<number> {
    const newest = namesIn(this.#folder).at(-1);
    let size = newest === undefined ? 0 : (await Deno.stat(pathOf(this.#folder, newest))).size;
    const isFull = newest === undefined || size + lines[0].bytes.length > this.#options.fileBytes;
    const first = isFull ? lines[0].seq : newest;
    if (isFull) size = 0;
    let count = 0;
    let length = 0;
    while (count < lines.length) {
      const next = lines[count].bytes.length;
      if (count > 0 && size + length + next > this.#options.fileBytes) break;
      length += next;
      count++;
    }
    const path = pathOf(this.#folder, first);
    {
      using file = await Deno.open(path, { append: true, create: true, mode: 0o600 });
      let batch = join(lines.slice(0, count), length);
      try {
        while (batch.length > 0) batch = batch.subarray(await file.write(batch));
        await file.sync();
      } catch (error) {
        // A full disk may have taken a part: it would be torn, and what comes next a part of its line.
        await file.truncate(size).catch(() => {});
        throw error;
      }
    }
    if (isFull) {
      syncDirectory(this.#folder);
      this.#forget();
    }
    return count;
  }

  #forget(): void {
    for (const first of namesIn(this.#folder).slice(0, -this.#options.files)) {
      removeIfThere(pathOf(this.#folder, first));
    }
  }
}

function join(lines: readonly Line[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const { bytes } of lines) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}

function pathOf(folder: string, first: number): string {
  return `${folder}/${String(first).padStart(16, "0")}.jsonl`;
}

/** The first records by which files are named, the oldest first. */
function namesIn(folder: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync(folder)) {
    const first = Number(NAME.exec(name)?.[1]);
    if (Number.isSafeInteger(first)) found.push(first);
  }
  return found.sort((a, b) => a - b);
}

/** The records of a file, in order; what is none of its records is left out. */
async function readRecords(folder: string, first: number): Promise<LogRecord[]> {
  let text: string;
  try {
    text = await Deno.readTextFile(pathOf(folder, first));
  } catch (error) {
    // It was the oldest, and is forgotten by now.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
  const records: LogRecord[] = [];
  let before = first - 1;
  for (const line of text.split("\n").slice(0, -1)) {
    const record = parseRecord(line);
    if (record === null || record.seq <= before || record.seq >= first + MOST_PER_FILE) continue;
    before = record.seq;
    records.push(record);
  }
  return records;
}

/** A line of a journal as a record; null for what a power cut or a bad disk made of one. */
export function parseRecord(line: string): LogRecord | null {
  try {
    return LogRecord.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}

/** Cuts off what does not end as a line does. */
async function dropTorn(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end === bytes.length) return;
  using file = await Deno.open(path, { write: true });
  await file.truncate(end);
  await file.sync();
}
