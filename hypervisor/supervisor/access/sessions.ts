/**
 * Who is signed in: a random token in the browser's cookie, its hash in the database, so that
 * neither a copy of the database nor a restart of the supervisor opens or closes a session.
 *
 * @module
 */
import type { Database } from "../store/database.ts";
import { deriveToken, hashToken, randomToken, sameSecret } from "./secrets.ts";

export const SESSION_IDLE_MS = 24 * 3600_000;
export const SESSION_LIFE_MS = 14 * 24 * 3600_000;
/** A session that is used writes this at most once a minute. */
const TOUCH_MS = 60_000;
/** Signing in once more ends the session used least recently. */
export const MAX_SESSIONS = 64;

/** A session that a request came with. */
export interface Session {
  csrfToken: string;
  /** Aborts when the session ends before its streams do. */
  ended: AbortSignal;
}

interface Row {
  token_hash: string;
  created_at: number;
  last_seen_at: number;
}

/** The table of sessions. */
export class Sessions {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #ends = new Map<string, AbortController>();

  constructor(database: Database, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /** Signs in; the token goes into the cookie and nowhere else. */
  async create(): Promise<{ token: string; csrfToken: string }> {
    const token = randomToken();
    const now = this.#now();
    this.#expire(now);
    this.#database.prepare("INSERT INTO sessions VALUES (?, ?, ?)").run(
      await hashToken(token),
      now,
      now,
    );
    return { token, csrfToken: await deriveToken(token, "csrf") };
  }

  /** The session of a cookie's token; null where there is none (any more). */
  async find(token: string): Promise<Session | null> {
    const hash = await hashToken(token);
    const row = this.#database.prepare("SELECT * FROM sessions WHERE token_hash = ?").get(hash) as
      | Row
      | undefined;
    if (row === undefined || !sameSecret(row.token_hash, hash)) return null;
    const now = this.#now();
    if (now - row.last_seen_at >= SESSION_IDLE_MS || now - row.created_at >= SESSION_LIFE_MS) {
      this.#end(hash);
      return null;
    }
    if (now - row.last_seen_at >= TOUCH_MS) {
      this.#database.prepare("UPDATE sessions SET last_seen_at = ? WHERE token_hash = ?")
        .run(now, hash);
    }
    let end = this.#ends.get(hash);
    if (end === undefined) this.#ends.set(hash, end = new AbortController());
    return { csrfToken: await deriveToken(token, "csrf"), ended: end.signal };
  }

  /** Signs out. */
  async delete(token: string): Promise<void> {
    this.#end(await hashToken(token));
  }

  /** Signs everyone out. */
  deleteAll(): void {
    this.#database.exec("DELETE FROM sessions");
    for (const end of this.#ends.values()) end.abort();
    this.#ends.clear();
  }

  #end(hash: string) {
    this.#database.prepare("DELETE FROM sessions WHERE token_hash = ?").run(hash);
    this.#ends.get(hash)?.abort();
    this.#ends.delete(hash);
  }

  /** Ends what is over, and the least recently used beyond what is kept. */
  #expire(now: number) {
    const rows = this.#database.prepare("SELECT * FROM sessions ORDER BY last_seen_at DESC")
      .all() as unknown as Row[];
    rows.forEach((row, index) => {
      const over = now - row.last_seen_at >= SESSION_IDLE_MS ||
        now - row.created_at >= SESSION_LIFE_MS;
      if (over || index >= MAX_SESSIONS - 1) this.#end(row.token_hash);
    });
  }
}
