/**
 * The log in memory: a list of records that forgets its oldest, with those on the disk behind it.
 *
 * @module
 */
import {
  isAsBad,
  type LogPage,
  type LogQuery,
  type LogRecord,
} from "../../hypervisor/supervisor/api/log_schemas.ts";
import type { LogEntry } from "./entry.ts";

/** What is kept for longer than this memory. */
export interface LogStore {
  /** The last record that it has; 0 if it has none. */
  readonly lastSeq: number;
  append(record: LogRecord): void;
  /** Records from `from` on up to `to`, which it may have or not, in order. */
  read(range: { from: number; to: number }): AsyncIterable<LogRecord>;
  /** The same, the newest first. */
  readBackwards(range: { from: number; to: number }): AsyncIterable<LogRecord>;
}

const MOST_RECORDS = 5000;
const MOST_CHARACTERS = 2 * 1024 * 1024;
const USUAL_LIMIT = 200;

/** Takes entries, and gives them back as records. */
export class LogBook {
  readonly #limits: { records: number; characters: number };
  #records: LogRecord[] = [];
  /** How many at the beginning of the list are forgotten already. */
  #gone = 0;
  #characters = 0;
  #next = 1;
  #store: LogStore | null = null;
  readonly #listeners = new Set<() => void>();

  constructor(options: { records?: number; characters?: number } = {}) {
    this.#limits = {
      records: options.records ?? MOST_RECORDS,
      characters: options.characters ?? MOST_CHARACTERS,
    };
  }

  /** The `seq` of the newest record; 0 if there is none. */
  get last(): number {
    return this.#next - 1;
  }

  add(entry: LogEntry): LogRecord {
    const record = { seq: this.#next++, ...entry };
    this.#records.push(record);
    this.#characters += lengthOf(record);
    this.#forget();
    this.#store?.append(record);
    for (const listener of this.#listeners) listener();
    return record;
  }

  /**
   * Has records kept from now on, and those that are here already. They are numbered anew, behind what
   * was kept before: so nobody may have been told of them yet.
   */
  keepIn(store: LogStore): void {
    this.#store = store;
    for (const record of this.#present()) {
      record.seq += store.lastSeq;
      store.append(record);
    }
    this.#next += store.lastSeq;
  }

  /** A part of the log. */
  async read(query: LogQuery): Promise<LogPage> {
    const { after, before = Infinity, limit = USUAL_LIMIT } = query;
    const isWanted = ({ seq, level, room }: LogRecord) =>
      seq < before && (query.level === undefined || isAsBad(level, query.level)) &&
      (query.room === undefined || room === query.room);
    const records = after === undefined
      ? await this.#newest(isWanted, { before, limit })
      : await this.#oldest(isWanted, { after, before, limit });
    return { records, last: this.last };
  }

  /** Calls `listener` for each record that is added; returns the function that ends it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The records in memory after `seq`, `limit` at most, and how many are forgotten between. */
  since(seq: number, limit: number): { records: LogRecord[]; missed: number } {
    const first = this.#first;
    const from = this.#gone + Math.max(0, seq + 1 - first);
    return {
      records: this.#records.slice(from, from + limit),
      missed: Math.max(0, first - 1 - seq),
    };
  }

  async #oldest(
    isWanted: (record: LogRecord) => boolean,
    { after, before, limit }: { after: number; before: number; limit: number },
  ): Promise<LogRecord[]> {
    const found: LogRecord[] = [];
    const first = this.#first;
    // Those of now: what comes while the disk is read is for who asks next.
    const present = this.#present();
    const to = Math.min(first, before) - 1;
    if (after < to && this.#store) {
      for await (const record of this.#store.read({ from: after + 1, to })) {
        if (isWanted(record)) found.push(record);
        if (found.length === limit) return found;
      }
    }
    for (const record of present) {
      if (found.length === limit) break;
      if (record.seq > after && isWanted(record)) found.push(record);
    }
    return found;
  }

  async #newest(
    isWanted: (record: LogRecord) => boolean,
    { before, limit }: { before: number; limit: number },
  ): Promise<LogRecord[]> {
    const first = this.#first;
    const found = this.#present().filter(isWanted).slice(-limit).reverse();
    const to = Math.min(first, before) - 1;
    if (found.length < limit && this.#store) {
      for await (const record of this.#store.readBackwards({ from: 1, to })) {
        if (isWanted(record)) found.push(record);
        if (found.length === limit) break;
      }
    }
    return found.reverse();
  }

  get #first(): number {
    return this.#records[this.#gone]?.seq ?? this.#next;
  }

  #present(): LogRecord[] {
    return this.#records.slice(this.#gone);
  }

  #forget(): void {
    const { records, characters } = this.#limits;
    while (this.#records.length - this.#gone > records || this.#characters > characters) {
      if (this.#records.length - this.#gone === 1) break;
      this.#characters -= lengthOf(this.#records[this.#gone++]);
    }
    // Taking them out one by one would move the whole list each time.
    if (this.#gone > records) {
      this.#records = this.#present();
      this.#gone = 0;
    }
  }
}

/** About as much as it takes. */
function lengthOf({ message, fields }: LogRecord): number {
  let length = 100 + message.length;
  for (const [name, value] of Object.entries(fields)) length += name.length + String(value).length;
  return length;
}
