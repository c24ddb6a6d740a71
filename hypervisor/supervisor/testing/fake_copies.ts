/**
 * How a VMM that pretends is saved: what it writes is no guest, but lies where a guest's would.
 *
 * @module
 */
import { join } from "@std/path";
import type { Response, SaveMessage, SaveRequest } from "../../vmm/control.ts";

/** Between two lines that tell how far a save is. */
const TELL_MS = 10;
const MIB = 1024 * 1024;

export interface FakeSaveOptions {
  /** Said in the state, so that who goes on from there can tell. */
  name: string;
  /** Words of the guest's command line. */
  words: ReadonlySet<string>;
  /** The guest stands still, or no more. */
  hold(is: boolean): Promise<void>;
}

/** Answers `save` on a connection, and does it until the other side leaves. */
export async function fakeSave(
  connection: Deno.Conn,
  request: SaveRequest,
  { name, words, hold }: FakeSaveOptions,
): Promise<void> {
  const say = (message: SaveMessage) =>
    connection.write(new TextEncoder().encode(JSON.stringify(message) + "\n"));
  const saving = (doneBytes: number, phase: "copying" | "syncing" = "copying") =>
    say({
      saving: {
        ...{ phase, doneBytes, totalBytes: 100 * MIB, rounds: 1 },
        remainingBytes: 100 * MIB - doneBytes,
        ...{ bytesPerSecond: 0, changedBytesPerSecond: 0, slowedPercent: 0 },
      },
    });
  const pause = () => new Promise((resolve) => setTimeout(resolve, TELL_MS));
  const heard = read(connection);
  await saving(0);
  if (words.has("save-fails")) {
    await say({ error: "Cannot save: its memory cannot be read" });
    return;
  }
  // It is never done, only left.
  while (words.has("saves-slowly") && !heard.isOver) {
    await pause();
    await saving(MIB);
  }
  if (heard.isOver) return;
  await hold(true);
  try {
    await say({ held: true });
    if (await heard.line !== '{"op":"go"}') return;
  } finally {
    await hold(false);
  }
  await saving(100 * MIB, "syncing");
  Deno.mkdirSync(request.directory);
  Deno.writeTextFileSync(join(request.directory, "state"), name);
  Deno.writeFileSync(join(request.directory, "memory"), new Uint8Array(8192).fill(1));
  await say({ saved: request.directory, pauseMs: 12, rounds: 1, bytes: 100 * MIB });
}

function read(connection: Deno.Conn) {
  const heard = { isOver: false, line: Promise.resolve<string | null>(null) };
  heard.line = (async () => {
    const bytes = new Uint8Array(4096);
    const count = await connection.read(bytes).catch(() => null);
    heard.isOver = count === null;
    return count === null ? null : new TextDecoder().decode(bytes.subarray(0, count)).trim();
  })();
  return heard;
}

/** The name of who was saved to a directory; undefined where nothing was. */
export function fakeSaved(directory: string): string | undefined {
  try {
    return Deno.readTextFileSync(join(directory, "state"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What a VMM that pretends says of forks. */
export const NO_FORK: Response = {
  ok: false,
  error: "Cannot fork the guest: it only pretends to have memory",
};
