/**
 * Conversations with a VMM on its control socket that go on after the first answer.
 *
 * @module
 */
import type * as z from "zod";
import { MAX_LINE_BYTES, type Request } from "../../vmm/control.ts";
import { LineReader } from "../lives/lines.ts";
import { parseMessage } from "../lives/wire.ts";

/** A line that tells which parts of disks were written may be longer than any other. */
const LONGEST_LINE = 64 * MAX_LINE_BYTES;

export interface VmmConnection extends Disposable {
  /** The next line, checked; null where there is none any more. */
  next<T>(schema: z.ZodType<T>): Promise<T | null>;
  say(message: unknown): Promise<void>;
}

/** Asks; the answer is the first line. */
export async function openConnection(path: string, request: Request): Promise<VmmConnection> {
  const connection = await Deno.connect({ transport: "unix", path });
  const lines = new LineReader(connection, { longest: LONGEST_LINE });
  const say = async (message: unknown) => {
    const line = new TextEncoder().encode(JSON.stringify(message) + "\n");
    for (let at = 0; at < line.length;) at += await connection.write(line.subarray(at));
  };
  const close = () => {
    try {
      connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  };
  try {
    await say(request);
  } catch (error) {
    close();
    throw error;
  }
  return {
    say,
    next: async (schema) => {
      let line: string | null;
      try {
        line = await lines.next();
      } catch (error) {
        if (error instanceof RangeError) throw error;
        // A VMM that is killed resets its connections, and this side may have closed it.
        return null;
      }
      return line === null ? null : parseMessage(schema, line, "what a VMM says");
    },
    [Symbol.dispose]: close,
  };
}
