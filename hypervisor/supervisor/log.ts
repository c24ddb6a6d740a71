/**
 * The supervisor's log: one JSON object per line on stderr. Whoever logs names only what may be
 * read by anyone who reads logs: no passwords, codes, tokens or cookies.
 *
 * @module
 */

export type LogLevel = "info" | "warn" | "error";
export type LogFields = Record<string, string | number | boolean | null | undefined>;
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

/** Writes to stderr at once, so that the last line before a crash is not lost. */
export const stderrLog: Log = (level, message, fields) => {
  const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...fields });
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
  } catch {
    // A log that nobody can take must not stop what it reports on.
  }
};

/** What an error says, for a log or a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
