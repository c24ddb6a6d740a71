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
  /** Whether its file systems are frozen at this moment. */
  isFrozen(): boolean;
}

/** The save since which it pretends to track changes; undefined where there is none. */
let base: string | undefined;

/** Throws where a save cannot be made on top of the one that a request names. */
export function refuseBase(request: SaveRequest): void {
  if (request.base === undefined) return;
  if (base !== undefined && textOf(request.base, "point") === base) return;
  throw new Error("Cannot save what has changed: the base is of another run");
}

/** Answers `save` on a connection, and does it until the other side leaves. */
export async function fakeSave(
  connection: Deno.Conn,
  request: SaveRequest,
  { name, words, hold, isFrozen }: FakeSaveOptions,
): Promise<void> {
  const say = (message: SaveMessage) =>
    connection.write(new TextEncoder().encode(JSON.stringify(message) + "\n"));
  const allBytes = (request.base === undefined ? 100 : 1) * MIB;
  const saving = (doneBytes: number, phase: "copying" | "syncing" = "copying") =>
    say({
      saving: {
        ...{ phase, doneBytes, totalBytes: allBytes, rounds: 1 },
        remainingBytes: allBytes - doneBytes,
        ...{ bytesPerSecond: 0, changedBytesPerSecond: 0, slowedPercent: 0 },
      },
    });
  const pause = () => new Promise((resolve) => setTimeout(resolve, TELL_MS));
  const heard = listen(connection);
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
  if (request.ask && !words.has("never-asks")) {
    await say({ ready: true });
    if (await heard.line() !== '{"op":"go"}') return;
  }
  await hold(true);
  const frozen = isFrozen();
  try {
    await say({ held: true });
    if (await heard.line() !== '{"op":"go"}') return;
  } finally {
    await hold(false);
  }
  await saving(allBytes, "syncing");
  Deno.mkdirSync(request.directory);
  const write = (file: string, text: string) =>
    Deno.writeTextFileSync(join(request.directory, file), text);
  write("state", name);
  if (frozen) write("frozen", "");
  const point = crypto.randomUUID();
  write("point", point);
  base = request.track ? point : undefined;
  Deno.writeFileSync(join(request.directory, "memory"), new Uint8Array(8192).fill(1));
  await say({ saved: request.directory, pauseMs: 12, rounds: 1, bytes: allBytes });
}

/** What the other side says, a line at a time, and whether it has left. */
function listen(connection: Deno.Conn) {
  const read = async () => {
    const bytes = new Uint8Array(4096);
    const count = await connection.read(bytes).catch(() => null);
    heard.isOver = count === null;
    return count === null ? null : new TextDecoder().decode(bytes.subarray(0, count)).trim();
  };
  let next: Promise<string | null>;
  const heard = {
    isOver: false,
    async line() {
      const line = await next;
      if (line !== null) next = read();
      return line;
    },
  };
  next = read();
  return heard;
}

/** The name of who was saved to a directory, and whether with frozen file systems; undefined where nothing was. */
export function fakeSaved(directory: string): { name: string; isFrozen: boolean } | undefined {
  const name = textOf(directory, "state");
  if (name === undefined) return undefined;
  return { name, isFrozen: textOf(directory, "frozen") !== undefined };
}

function textOf(directory: string, file: string): string | undefined {
  try {
    return Deno.readTextFileSync(join(directory, file));
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
