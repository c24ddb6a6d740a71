/**
 * Who may use the API: the first set-up with the one-time code, the administrator's password, and
 * sessions.
 *
 * @module
 */
import { removeIfThere, writeFileDurably } from "../durable.ts";
import { problem } from "../problem.ts";
import { type Database, transaction } from "../store/database.ts";
import { SettingStore } from "../store/settings.ts";
import { Attempts } from "./attempts.ts";
import {
  ARGON2_COSTS,
  type Argon2Costs,
  checkPassword,
  hashPassword,
  isPasswordHash,
} from "./password.ts";
import { hashToken, normalizeCode, randomCode, sameSecret } from "./secrets.ts";
import { Sessions } from "./sessions.ts";

export interface AccessOptions {
  /** Where the one-time code lies in clear while set-up is needed. */
  codeFile: string;
  /** Where a password's hash lies that the host was given from outside, if it was. */
  passwordFile?: string;
  now?: () => number;
  costs?: Argon2Costs;
}

/** The locks on the API's doors. */
export class Access {
  readonly sessions: Sessions;
  readonly #database: Database;
  readonly #settings: SettingStore;
  readonly #codeFile: string;
  readonly #passwordFile: string | null;
  readonly #costs: Argon2Costs;
  readonly #attempts: Attempts;

  constructor(database: Database, options: AccessOptions) {
    this.#database = database;
    this.#settings = new SettingStore(database);
    this.#codeFile = options.codeFile;
    this.#passwordFile = options.passwordFile ?? null;
    this.#costs = options.costs ?? ARGON2_COSTS;
    this.sessions = new Sessions(database, options.now);
    this.#attempts = new Attempts(options.now);
  }

  /** Makes a new one-time code where set-up is needed: an old one's clear text is not kept. */
  async prepare(): Promise<void> {
    this.#takeGiven();
    if (this.setupNeeded) await this.#makeCode();
    else removeIfThere(this.#codeFile);
  }

  /** Takes the password that was given, once: what was changed since is not undone by a restart. */
  #takeGiven() {
    const given = this.#passwordFile === null ? null : readIfThere(this.#passwordFile);
    // Who wrote it has told what is wrong with it; the supervisor must run for all that.
    if (given === null || !isPasswordHash(given)) return;
    if (given === this.#settings.get("password_given")) return;
    transaction(this.#database, () => {
      this.#settings.set("password_given", given);
      this.#settings.set("password", given);
      this.#settings.delete("setup_code");
    });
    this.sessions.deleteAll();
  }

  get setupNeeded(): boolean {
    return this.#settings.get("password") === null;
  }

  async #makeCode() {
    // A restart before set-up keeps the code that is on the screen, if it is the right one.
    const shown = readIfThere(this.#codeFile);
    const kept = this.#settings.get("setup_code");
    if (shown !== null && kept !== null) {
      if (sameSecret(await hashToken(normalizeCode(shown)), kept)) return;
    }
    const code = randomCode();
    this.#settings.set("setup_code", await hashToken(normalizeCode(code)));
    writeFileDurably(this.#codeFile, code + "\n", { mode: 0o600 });
  }

  /** Sets the password; the code is used up. */
  async setUp(input: { code: string; password: string }, address: string): Promise<void> {
    this.#refuseSetupDone();
    this.#attempts.take(address);
    const kept = this.#settings.get("setup_code");
    const typed = await hashToken(normalizeCode(input.code));
    if (kept === null || !sameSecret(typed, kept)) {
      throw problem(
        "wrong_code",
        "Cannot set up: the code is wrong. The right one is on the host's own screen",
      );
    }
    const hash = await hashPassword(input.password, this.#costs);
    // Another set-up may have finished while this one's hash was made.
    this.#refuseSetupDone();
    transaction(this.#database, () => {
      this.#settings.set("password", hash);
      this.#settings.delete("setup_code");
    });
    removeIfThere(this.#codeFile);
    this.#attempts.succeed(address);
  }

  #refuseSetupDone() {
    if (!this.setupNeeded) {
      throw problem("setup_done", "Cannot set up: it was done already. Sign in instead");
    }
  }

  /** Signs in. */
  async logIn(password: string, address: string): Promise<{ token: string; csrfToken: string }> {
    const kept = this.#settings.get("password");
    if (kept === null) {
      throw problem("setup_needed", "Cannot sign in: no password is set yet. Set up first");
    }
    this.#attempts.take(address);
    if (!await checkPassword(password, kept)) {
      throw problem("wrong_password", "Cannot sign in: the password is wrong");
    }
    this.#attempts.succeed(address);
    return await this.sessions.create();
  }

  /** Back to where a new host begins, for an owner who forgot the password. */
  async reset(): Promise<void> {
    this.#settings.delete("password");
    this.sessions.deleteAll();
    await this.#makeCode();
  }
}

function readIfThere(path: string): string | null {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
