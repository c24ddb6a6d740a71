/**
 * What VMMs print, as records of the log, and their files kept within bounds.
 *
 * @module
 */
import { type Log, messageOf } from "../log.ts";
import { boundLog, VmmLogReader } from "./vmm_log.ts";

/** A VMM that prints. */
export interface PrintingVmm {
  readonly logFile: string;
  /** An earlier supervisor started it, and has told what it printed before. */
  readonly isFound: boolean;
}

/** Whose VMM it is. */
export interface PrintingLife {
  readonly record: { readonly name: string };
  readonly process: PrintingVmm | null;
}

export interface VmmLogsOptions {
  lives: () => Iterable<PrintingLife>;
  log: Log;
  everyMs?: number;
}

const EVERY_MS = 5_000;

/** Looks at all of them every few seconds. */
export class VmmLogs {
  readonly #options: VmmLogsOptions;
  readonly #readers = new WeakMap<PrintingVmm, VmmLogReader>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(options: VmmLogsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.look(), options.everyMs ?? EVERY_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  look(): void {
    for (const { record, process } of this.#options.lives()) {
      if (process !== null) this.#lookAt(process, record.name);
    }
  }

  #lookAt(process: PrintingVmm, guest: string): void {
    const { log } = this.#options;
    try {
      let reader = this.#readers.get(process);
      if (reader === undefined) {
        reader = new VmmLogReader(process.logFile, { old: process.isFound });
        this.#readers.set(process, reader);
      }
      const { lines, leftOut } = reader.read();
      for (const line of lines) log("warn", line, { room: "vmm", guest });
      if (leftOut > 0) {
        log("warn", `${leftOut} more bytes were printed at once`, { room: "vmm", guest });
      }
      boundLog(process.logFile);
    } catch (error) {
      log("warn", "cannot read what a guest's VMM prints", { guest, error: messageOf(error) });
    }
  }
}
