/**
 * Where PID 1 and what it runs write down what happens: the kernel's log, which survives every one of
 * them and is kept off the screen.
 *
 * @module
 */

export type Severity = "error" | "warning" | "info";

const LEVELS: Record<Severity, number> = { error: 3, warning: 4, info: 6 };

/** The kernel cuts longer records. */
const MAX_RECORD_BYTES = 900;

const sinks: Deno.FsFile[] = [];

/** Starts to write to `path`: /dev/kmsg, or a terminal for who wants to watch. */
export function logTo(path: string): void {
  try {
    sinks.push(Deno.openSync(path, { write: true }));
  } catch {
    // A machine without that device; what is left of the log goes elsewhere.
  }
}

/** Writes one record; never throws, since PID 1 may not die of a full log. */
export function log(message: string, severity: Severity = "info"): void {
  for (const line of message.split("\n")) {
    if (line.trim() === "") continue;
    const text = `<${LEVELS[severity]}>denovisor: ${line}`.slice(0, MAX_RECORD_BYTES);
    const record = new TextEncoder().encode(text + "\n");
    for (const sink of sinks) {
      try {
        sink.writeSync(record);
      } catch {
        // As above.
      }
    }
  }
}

/** What an error says, for the log and the screen. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs one step whose failure must not keep the rest from running; undefined if it failed. */
export async function attempt<T>(
  what: string,
  step: () => T | Promise<T>,
  onFailure?: (reason: string) => void,
): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    log(`${what}: ${reason(error)}`, "error");
    onFailure?.(reason(error));
    return undefined;
  }
}
