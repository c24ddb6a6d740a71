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
import { dirname, exists, writeFileDurably } from "../../hypervisor/supervisor/durable.ts";
import { changeOwner, ownerOf } from "./copies.ts";
import { type KeptValue, migrate } from "./migrate.ts";
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
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    bad("they are not JSON");
    return { kept, problems };
  }
  const value = typeof given === "object" && given !== null ? migrate(given) : null;
  if (value === null) {
    bad(`their version is ${given?.version ?? "missing"}, and this release's ${SETTINGS_VERSION}`);
    return { kept, problems };
  }
  const { digest } = value;
  const settings = (value.settings ?? {}) as KeptValue;
  if (typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest)) kept.digest = digest;
  for (const name of NAMES) {
    if (settings[name] === undefined) continue;
    const result = HostSettings.shape[name].safeParse(settings[name]);
    if (result.success) Object.assign(kept.settings, { [name]: result.data });
    else bad(`${name}: ${result.error.issues[0].message}`);
  }
  return { kept, problems };
}

/** The text of what is kept; `system` says whose the settings are. */
export function formatKept({ settings, digest }: Kept, system?: string): string {
  return JSON.stringify({ version: SETTINGS_VERSION, system, digest, settings }, null, 2) + "\n";
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
  /** The system whose settings these are. */
  #system: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  get settings(): HostSettings {
    return this.#kept.settings;
  }

  /**
   * Reads what is kept, takes the file's text if there is one, and returns what is wrong in words.
   * Where what is kept cannot be read, the file holds for this time alone. With `system` each system has
   * settings of its own.
   */
  async begin(file: string | null, system?: string): Promise<string[]> {
    this.#system = system;
    const { kept, problems } = this.#read();
    this.#kept = kept;
    this.#own(problems);
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

  /** Has the file say whose the settings are, also where there are none yet. */
  #own(problems: string[]): void {
    if (this.#system === undefined || problems.length > 0) return;
    try {
      const text = exists(this.#path) ? Deno.readTextFileSync(this.#path) : "";
      if (ownerOf(text) !== this.#system) this.#write(this.#kept);
    } catch (error) {
      problems.push(`Cannot keep the settings: ${error instanceof Error ? error.message : error}`);
    }
  }

  #read(): ReturnType<typeof parseKept> {
    try {
      if (this.#system !== undefined) changeOwner(this.#path, this.#system);
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
    writeFileDurably(this.#path, formatKept(kept, this.#system));
  }
}
