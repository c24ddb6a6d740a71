/**
 * The host's log, which process 1 of the appliance keeps.
 *
 * @module
 */
import {
  LogBatch,
  LogPage,
  type LogQuery,
  type LogRecord,
  MOST_LOG_RECORDS,
} from "./api/log_schemas.ts";
import type { ProcessOne } from "./process_one.ts";

const QUESTION = { what: "the host's log", refused: "invalid_query" } as const;

/** Asks process 1. */
export class ApplianceLog {
  readonly #processOne: ProcessOne;

  constructor(processOne: ProcessOne) {
    this.#processOne = processOne;
  }

  read(query: LogQuery): Promise<LogPage> {
    return this.#processOne.ask({ ...QUESTION, path: "/log", query: { ...query } }, LogPage);
  }

  /** All of it, from the oldest record that is kept on up to now. */
  async *all(): AsyncGenerator<LogRecord[]> {
    const { last } = await this.read({ limit: 1 });
    for (let after = 0; after < last;) {
      const { records } = await this.read({ after, limit: MOST_LOG_RECORDS });
      if (records.length === 0) return;
      yield records;
      after = records.at(-1)!.seq;
    }
  }

  /** What comes after a record, or from now on, until `signal` aborts. */
  follow(query: LogQuery, signal: AbortSignal): AsyncGenerator<LogBatch> {
    const question = { ...QUESTION, path: "/log/follow", query: { ...query } };
    return this.#processOne.lines(question, LogBatch, signal);
  }
}
