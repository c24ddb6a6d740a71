/**
 * Crashes of the host's kernel and of VMMs, a file for each: a bounded number, the oldest go.
 *
 * @module
 */
import { join } from "@std/path";
import { ulid } from "@std/ulid";
import * as z from "zod";
import { type Crash, type CRASH_KINDS, CrashReport } from "../api/crash_schemas.ts";
import { removeIfThere, writeFileDurably } from "../durable.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";

/** How many of a kind are kept: a guest that crashes again and again leaves the kernel's alone. */
const MOST: Record<(typeof CRASH_KINDS)[number], number> = { kernel: 16, vmm: 32 };
const LONGEST_TITLE = 300;
const LONGEST_TEXT = 256 * 1024;
/** More than a file of ours has, whatever its text is written as. */
const MOST_FILE_BYTES = 4 * 1024 * 1024;

const CrashFile = CrashReport.extend({
  /** Where it was read from, so that it is not taken twice. */
  source: z.string().nullable(),
});
type CrashFile = z.output<typeof CrashFile>;

export interface NewCrash extends Omit<CrashReport, "id"> {
  source?: string;
}

export interface CrashesOptions {
  directory: string;
  log: Log;
  /** Called when there are other ones. */
  changed?: (crashes: Crash[]) => void;
}

export class Crashes {
  readonly #options: CrashesOptions;

  constructor(options: CrashesOptions) {
    this.#options = options;
  }

  /** All of them, the newest first. */
  list(): Crash[] {
    return this.#files().map(({ text: _, source: __, ...crash }) => crash);
  }

  get(id: string): CrashReport {
    const found = this.#read(`${id}.json`);
    if (found === null) throw problem("not_found", `Cannot find a crash with the id "${id}"`);
    const { source: _, ...report } = found;
    return report;
  }

  /** Returns once it is on the disk; one from a `source` that is known already is not added. */
  add({ source = undefined, ...crash }: NewCrash): void {
    const { directory } = this.#options;
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const files = this.#files();
    if (source !== undefined && files.some((it) => it.source === source)) return;
    const file: CrashFile = {
      ...crash,
      id: ulid(),
      title: crash.title.replace(/\p{Cc}+/gu, " ").trim().slice(0, LONGEST_TITLE),
      text: bounded(crash.text),
      source: source ?? null,
    };
    writeFileDurably(join(directory, `${file.id}.json`), JSON.stringify(file));
    const alike = [file, ...files].filter(({ kind }) => kind === file.kind);
    for (const { id } of alike.slice(MOST[file.kind])) this.#remove(id);
    this.#options.changed?.(this.list());
  }

  delete(id: string): void {
    this.get(id);
    this.#remove(id);
    this.#options.changed?.(this.list());
  }

  #remove(id: string): void {
    removeIfThere(join(this.#options.directory, `${id}.json`));
  }

  #files(): CrashFile[] {
    const found: CrashFile[] = [];
    for (const name of this.#names()) {
      const file = this.#read(name);
      if (file !== null) found.push(file);
    }
    return found.sort((a, b) => a.id < b.id ? 1 : -1);
  }

  #names(): string[] {
    try {
      return [...Deno.readDirSync(this.#options.directory)].map(({ name }) => name)
        .filter((name) => /^[0-9A-Z]{26}\.json$/.test(name));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  /** Null for one that is not there, or that a bad disk has spoilt. */
  #read(name: string): CrashFile | null {
    const path = join(this.#options.directory, name);
    try {
      if (Deno.statSync(path).size > MOST_FILE_BYTES) return null;
      const file = CrashFile.parse(JSON.parse(Deno.readTextFileSync(path)));
      return `${file.id}.json` === name ? file : null;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      this.#options.log("warn", "cannot read a crash", { path, error: messageOf(error) });
      return null;
    }
  }
}

/** Lines without controls; of a long text its end, where a crash tells most. */
function bounded(text: string): string {
  // deno-lint-ignore no-control-regex
  const lines = text.toWellFormed().replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]+/g, " ");
  if (lines.length <= LONGEST_TEXT) return lines;
  return `(the beginning is left out)\n${lines.slice(-LONGEST_TEXT).toWellFormed()}`;
}
