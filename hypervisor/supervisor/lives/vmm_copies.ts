/**
 * Has a running guest's VMM save it to a directory, or make what others can go on from, and has its disks
 * copied at the same instant.
 *
 * @module
 */
import { close } from "../../sys/files.ts";
import type { SaveRequest } from "../../vmm/control.ts";
import { type Control, openControl, VmmRefusal } from "./control_client.ts";
import { CopyProgress } from "./copy_progress.ts";
import { PassingControl } from "./passing_control.ts";
import type { Work } from "./tasks.ts";
import { ForkLine, parseMessage, ResponseMessage, SaveLine } from "./wire.ts";

export interface CopyOptions {
  work: Work;
  /** Copies the disks; the guest stands still until that is done. Where it throws, nothing is left. */
  whileHeld: () => Promise<void>;
  /** Throws where the host has no room for so many bytes more. */
  room?: (bytes: number) => Promise<void>;
}

const PHASES = {
  copying: "Copying memory",
  settling: "Bringing memory to the disk",
  syncing: "Bringing memory to the disk",
};

const GO = new TextEncoder().encode('{"op":"go"}\n');

/** Why nothing more is heard of a VMM. */
function silence({ work }: CopyOptions): Error {
  return work.signal.reason ?? new Error("Its VMM hung up");
}

export interface SaveOptions extends CopyOptions {
  /** Where to; it does not exist yet. */
  directory: string;
  /** The save before, where there may be one: of what it has, only what has changed since is written. */
  base: Base | null;
  /** Whether this is to be a base in its turn. */
  track: boolean;
  /** Called when the guest can be stopped, which it then is; it runs on until that is done. */
  beforeHeld?: () => Promise<void>;
  /** Called when it has been told to go on. */
  afterHeld?: () => void;
}

/** A save that the next may be made on top of. */
export interface Base {
  directory: string;
  /** The VMM says that it is none, and why; the guest is saved whole. */
  refused(why: string): void;
}

/** Begins a save; on top of the base where the VMM can. */
async function beginSave(socket: string, options: SaveOptions): Promise<Control> {
  const { directory, base, track, beforeHeld } = options;
  const ask = beforeHeld !== undefined;
  const request: SaveRequest = { op: "save", directory, hold: true, track, ask };
  try {
    return await openControl(socket, base ? { ...request, base: base.directory } : request);
  } catch (error) {
    if (base === null || !(error instanceof VmmRefusal)) throw error;
    base.refused(error.message);
    return await openControl(socket, request);
  }
}

/** A guest may be in a VMM of before that. */
function stopsUnasked(): Error {
  return new Error(
    "Cannot prepare the guest for the instant: its VMM is of a version that stops it without asking. " +
      "Upgrade the guest first, or take the snapshot without freezing",
  );
}

/** Saves the guest of the VMM at `socket` to a directory; it then goes on, or stays paused if it was. */
export async function saveMemory(
  socket: string,
  options: SaveOptions,
): Promise<{ pauseMs: number }> {
  const { work, whileHeld, room, beforeHeld, afterHeld } = options;
  work.signal.throwIfAborted();
  using control = await beginSave(socket, options);
  const progress = new CopyProgress(work);
  let isReady = beforeHeld === undefined;
  work.signal.throwIfAborted();
  // Closing the connection gives the save up, and has the guest go on.
  work.signal.addEventListener("abort", control.close);
  try {
    work.phase(PHASES.copying);
    while (true) {
      const line = await nextLine(() => control.lines.next());
      if (line === null) throw silence(options);
      const message = parseMessage(SaveLine, line, "what a VMM says of a save");
      if ("error" in message) throw new VmmRefusal(message.error);
      if ("saved" in message) {
        work.progress(message.bytes, message.bytes);
        return { pauseMs: message.pauseMs };
      }
      if ("ready" in message || "held" in message) {
        if ("ready" in message) isReady = true;
        else if (!isReady) throw stopsUnasked();
        await ("held" in message ? whileHeld() : beforeHeld?.());
        work.signal.throwIfAborted();
        // One that has ended meanwhile says no more, which is told above.
        await control.connection.write(GO).catch(() => {});
        if ("held" in message) afterHeld?.();
        continue;
      }
      const { saving } = message;
      progress.tell(saving, PHASES[saving.phase]);
      if (saving.phase === "copying") await room?.(saving.totalBytes - saving.doneBytes);
    }
  } finally {
    work.signal.removeEventListener("abort", control.close);
  }
}

/** Makes what others can go on from of the guest of the VMM at `socket`, which goes on. */
export async function forkMemory(
  socket: string,
  options: CopyOptions,
): Promise<{ descriptors: number[]; pauseMs: number }> {
  const { work, whileHeld } = options;
  work.signal.throwIfAborted();
  using control = new PassingControl(socket);
  const giveUp = () => control.close();
  work.signal.addEventListener("abort", giveUp);
  try {
    await control.send({ op: "fork", hold: true });
    const answer = await nextLine(() => control.line());
    if (answer === null) throw silence(options);
    const response = parseMessage(ResponseMessage, answer, "a VMM's answer");
    if (!response.ok) throw new VmmRefusal(response.error);
    while (true) {
      const line = await nextLine(() => control.line());
      if (line === null) throw silence(options);
      const message = parseMessage(ForkLine, line, "what a VMM says of a fork");
      if ("error" in message) throw new VmmRefusal(message.error);
      if ("held" in message) {
        await whileHeld();
        await control.send({ op: "go" }).catch(() => {});
        continue;
      }
      const descriptors = control.take();
      if (descriptors.length === 2) return { descriptors, pauseMs: message.forked.pausedMs };
      descriptors.forEach(close);
      throw new Error(`Cannot fork: ${descriptors.length} descriptors came, and should be 2`);
    }
  } finally {
    work.signal.removeEventListener("abort", giveUp);
  }
}

/** The next line; null where the connection ended, by whichever side. */
async function nextLine(next: () => Promise<string | null>): Promise<string | null> {
  try {
    return await next();
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return null;
  }
}
