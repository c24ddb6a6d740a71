/**
 * A line for the shell on a guest's serial port, and what it prints.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

const PATIENCE_MS = 300_000;

/** A guest's serial port. */
export interface Serial {
  send(text: string): Promise<void>;
  /** All up to and with `text`, or up to the end. */
  until(text: string): Promise<string>;
}

/** Runs a line in the shell and returns what it printed; throws where it fails. */
export async function runLine(serial: Serial, line: string): Promise<string> {
  const mark = `@@${crypto.randomUUID().slice(0, 8)}`;
  const conversation = async () => {
    await serial.send(`echo "${mark}<"; { ${line}\n} 2>&1; echo "${mark}> $?"\n`);
    await serial.until(`${mark}<\n`);
    const printed = await serial.until(`${mark}> `);
    const status = await serial.until("\n");
    assertEquals(status, "0\n", `"${line}" failed in the guest: ${printed}`);
    return printed.slice(0, -`${mark}> `.length).trim();
  };
  return await within(PATIENCE_MS, conversation(), `"${line}" in the guest`);
}

/** What comes of it, unless that takes too long. */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`Cannot wait for ${what} longer than ${ms / 1000} s`)),
    ms,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {});
  }
}
