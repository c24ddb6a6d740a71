/**
 * Named values that there is one of, such as the administrator's password hash.
 *
 * @module
 */
import type { Database } from "./database.ts";

export type SettingName = "password" | "password_given" | "setup_code" | "at_shutdown";

/** The table of settings. */
export class SettingStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  get(name: SettingName): string | null {
    const row = this.#database.prepare("SELECT value FROM settings WHERE name = ?").get(name);
    return row === undefined ? null : String(row.value);
  }

  set(name: SettingName, value: string): void {
    this.#database.prepare(
      "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    ).run(name, value);
  }

  delete(name: SettingName): void {
    this.#database.prepare("DELETE FROM settings WHERE name = ?").run(name);
  }
}
