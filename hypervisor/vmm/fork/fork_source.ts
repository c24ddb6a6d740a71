/**
 * From what a fork has left to what another guest goes on from.
 *
 * @module
 */
import { close, length } from "../../sys/files.ts";
import { readAt } from "../../sys/positioned_io.ts";
import { isSealed } from "../../sys/seals.ts";
import { ConfigError } from "../config/fields.ts";
import type { GuestConfig } from "../control.ts";
import type { RestoreOptions } from "../guest.ts";
import type { OpenSnapshot } from "../snapshot/directory.ts";
import { MAX_STATE_BYTES } from "../snapshot/format.ts";
import { configFor, COPY_RESOURCES, settingsFor } from "../snapshot/restore.ts";
import { decodeGuest, type SavedGuest } from "../snapshot/saved_guest.ts";

/**
 * Reads what came with a request: the state, which is closed, and memory, which is kept. Others have both
 * too; sealed, they are what they will always be. Throws a {@linkcode ConfigError} that says what is wrong.
 */
export function forkFrom(
  descriptors: readonly number[],
  config: unknown,
): { config: GuestConfig; restore: RestoreOptions & { snapshot: OpenSnapshot } } {
  try {
    const [stateFd, memoryFd] = descriptors;
    if (descriptors.length !== 2) {
      throw new RangeError(`2 descriptors are to come along, and ${descriptors.length} did`);
    }
    const saved = readState(stateFd);
    checkMemory(memoryFd, saved);
    const what = "go on from a fork";
    const own = configFor(saved, { given: config, what, mayDiffer: COPY_RESOURCES });
    saved.settings = settingsFor(own, saved);
    close(stateFd);
    return { config: own, restore: { snapshot: { saved, memoryFd }, identity: "new" } };
  } catch (cause) {
    descriptors.forEach(close);
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(`Cannot go on from a fork: ${(cause as Error).message}`, { cause });
  }
}

function readState(fd: number): SavedGuest {
  if (!isSealed(fd)) throw new TypeError("its state is no file in memory that is sealed");
  const size = length(fd);
  if (size > MAX_STATE_BYTES) {
    throw new RangeError(`its state has ${size} bytes, and ${MAX_STATE_BYTES} are the most`);
  }
  const bytes = new Uint8Array(size);
  return decodeGuest(bytes.subarray(0, readAt(fd, bytes, 0)));
}

function checkMemory(fd: number, { memory }: SavedGuest): void {
  if (!isSealed(fd)) throw new TypeError("its memory is no file in memory that is sealed");
  const size = length(fd);
  if (size !== memory.length) {
    throw new RangeError(`its memory has ${size} bytes, and should have ${memory.length}`);
  }
}
