/**
 * The settings as the data partition keeps them: what files and the console have said so far.
 *
 * @module
 */
import {
  HostSettings,
  type SettingName,
  SETTINGS_VERSION,
} from "../../hypervisor/supervisor/api/host_settings.ts";
import { dirname, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import { type Mistake, parseSettings } from "./parse.ts";

/** What is kept. */
export interface Kept {
  settings: HostSettings;
  /** SHA-256 of the file that was taken last, in hex; null if there was none yet. */
  digest: string | null;
}

const NAMES = Object.keys(HostSettings.shape) as SettingName[];

/** What was kept, out of its text; what cannot be used of it is told and left out. */
export function parseKept(text: string): { kept: Kept; problems: string[] } {
  const kept: Kept = { settings: {}, digest: null };
  const problems: string[] = [];
  const bad = (why: string) => problems.push(`Cannot use the kept settings: ${why}`);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    bad("they are not JSON");
    return { kept, problems };
  }
  if (typeof value !== "object" || value === null || value.version !== SETTINGS_VERSION) {
    bad(`their version is ${value?.version ?? "missing"}, and this release's ${SETTINGS_VERSION}`);
    return { kept, problems };
  }
  if (/^[0-9a-f]{64}$/.test(value.digest)) kept.digest = value.digest;
  for (const name of NAMES) {
    const given = value.settings?.[name];
    if (given === undefined) continue;
    const result = HostSettings.shape[name].safeParse(given);
    if (result.success) Object.assign(kept.settings, { [name]: result.data });
    else bad(`${name}: ${result.error.issues[0].message}`);
  }
  return { kept, problems };
}

export function formatKept({ settings, digest }: Kept): string {
  return JSON.stringify({ version: SETTINGS_VERSION, digest, settings }, null, 2) + "\n";
}

/**
 * Takes what a file says, if it is another one than was taken last: what the console has changed since
 * stays until then. What the file leaves out, or has wrong, stays as it was.
 */
export async function takeFile(
  kept: Kept,
  text: string,
): Promise<{ kept: Kept; mistakes: Mistake[] }> {
  const { settings: said, mistakes } = parseSettings(text);
  const digest = await sha256(text);
  if (digest === kept.digest) return { kept, mistakes };
  const settings = { ...kept.settings };
  for (const name of NAMES) {
    const value = said[name];
    if (value === null) delete settings[name];
    else if (value !== undefined) Object.assign(settings, { [name]: value });
  }
  return { kept: { settings, digest }, mistakes };
}

// Not by Node's way: that asks Deno for its own path, and process 1 begins without /proc.
async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(hash).toHex();
}

/** The settings of this host, on its data partition. */
export class KeptSettings {
  readonly #path: string;
  #kept: Kept = { settings: {}, digest: null };
  /** Whether there are settings that could not be read: they are not written over. */
  #isUnread = false;

  constructor(path: string) {
    this.#path = path;
  }

  get settings(): HostSettings {
    return this.#kept.settings;
  }

  /**
   * Reads what is kept, takes the file's text if there is one, and returns what is wrong in words.
   * Where what is kept cannot be read, the file holds for this time alone.
   */
  async begin(file: string | null): Promise<string[]> {
    const { kept, problems } = this.#read();
    this.#kept = kept;
    if (file === null) return problems;
    const taken = await takeFile(kept, file);
    const told = taken.mistakes.map(({ line, reason }) =>
      `denovisor.yaml, line ${line}: ${reason}`
    );
    if (taken.kept !== kept) {
      this.#kept = taken.kept;
      try {
        this.#write(taken.kept);
      } catch (error) {
        told.push(`Cannot keep the settings: ${error instanceof Error ? error.message : error}`);
      }
    }
    return [...problems, ...told];
  }

  /** Keeps other values of some settings; returns once they are on the disk. */
  change(settings: HostSettings): void {
    const kept = { ...this.#kept, settings: { ...this.#kept.settings, ...settings } };
    this.#write(kept);
    this.#kept = kept;
  }

  #read(): ReturnType<typeof parseKept> {
    try {
      const found = parseKept(Deno.readTextFileSync(this.#path));
      // What a newer release wrote is not lost by what this one writes.
      if (found.problems.length > 0) Deno.copyFileSync(this.#path, `${this.#path}.unread`);
      return found;
    } catch (error) {
      this.#isUnread = !(error instanceof Deno.errors.NotFound);
      const problems = this.#isUnread
        ? [`Cannot read the kept settings: ${error instanceof Error ? error.message : error}`]
        : [];
      return { kept: { settings: {}, digest: null }, problems };
    }
  }

  #write(kept: Kept): void {
    if (this.#isUnread) {
      throw new Error(`"${this.#path}" could not be read at the start, and is left as it is`);
    }
    Deno.mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    writeFileDurably(this.#path, formatKept(kept));
  }
}
