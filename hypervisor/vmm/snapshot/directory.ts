/**
 * A snapshot's directory: `state` (format.ts) and `memory` (memory_file.ts). It is filled under another
 * name, synced and renamed, so whatever has the name is whole.
 *
 * @module
 */
import { close, length, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { setLength } from "../../sys/fallocate.ts";
import { readAt, writeAt } from "../../sys/positioned_io.ts";
import { MAX_STATE_BYTES, SnapshotError } from "./format.ts";
import { MemoryDigest } from "./memory_file.ts";
import { decodeGuest, type SavedGuest } from "./saved_guest.ts";

const STATE = "state";
const MEMORY = "memory";
/** Its owner's alone: RAM holds every secret of the guest. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const O_DIRECTORY = 0o200000;

/** A snapshot that is being written. */
export class NewSnapshot {
  readonly memoryFd: number;
  readonly #path: string;
  readonly #aside: string;
  #stateFd = -1;
  #isOver = false;

  /** Throws where something has that name already, or it cannot be made. */
  constructor(path: string, memoryBytes: number) {
    this.#path = path.replace(/\/+$/, "");
    this.#aside = `${this.#path}.new`;
    if (exists(this.#path)) throw new Error(`Cannot save to "${path}": it exists`);
    // What a save that was cut off has left.
    this.#sweep();
    Deno.mkdirSync(this.#aside, { mode: DIRECTORY_MODE });
    this.memoryFd = this.#create(MEMORY);
    setLength(this.memoryFd, memoryBytes);
  }

  #create(name: string): number {
    return open(`${this.#aside}/${name}`, O_RDWR | O_CREAT | O_EXCL, FILE_MODE);
  }

  /** Writes the state; what is returned is to be synced before {@linkcode appear}. */
  writeState(bytes: Uint8Array<ArrayBuffer>): number[] {
    this.#stateFd = this.#create(STATE);
    writeAt(this.#stateFd, bytes, 0);
    return [this.#stateFd];
  }

  /** Opens what has to be synced for the names in it; the caller closes it. */
  openDirectory(): number {
    return open(this.#aside, O_RDONLY | O_DIRECTORY);
  }

  /** Gives it its name. That is durable once the descriptor, which the caller closes, is synced. */
  appear(): number {
    // An empty directory would be replaced.
    if (exists(this.#path)) throw new Error(`Cannot save to "${this.#path}": it exists`);
    Deno.renameSync(this.#aside, this.#path);
    this.#close();
    return open(this.#path.replace(/[^/]*$/, "") || ".", O_RDONLY | O_DIRECTORY);
  }

  /** Leaves nothing of it. */
  abandon(): void {
    if (this.#isOver) return;
    this.#close();
    this.#sweep();
  }

  #close(): void {
    this.#isOver = true;
    close(this.memoryFd);
    if (this.#stateFd >= 0) close(this.#stateFd);
  }

  /** Removes our own files alone: what else is there, somebody has put there. */
  #sweep(): void {
    if (!exists(this.#aside)) return;
    for (const name of [STATE, MEMORY]) {
      if (exists(`${this.#aside}/${name}`)) Deno.removeSync(`${this.#aside}/${name}`);
    }
    Deno.removeSync(this.#aside);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A snapshot to start from. */
export interface OpenSnapshot {
  saved: SavedGuest;
  /** RAM's content; of the length that the state says. */
  memoryFd: number;
}

/**
 * Reads a snapshot's state and opens its memory, whose content is not read: see
 * {@linkcode verifySnapshot}. Throws a {@linkcode SnapshotError} that says what is wrong with it.
 */
export function openSnapshot(path: string): OpenSnapshot {
  const saved = readState(`${path}/${STATE}`);
  const memoryFd = openFile(`${path}/${MEMORY}`);
  const bytes = length(memoryFd);
  if (bytes !== saved.memory.length) {
    close(memoryFd);
    throw new SnapshotError(
      `Cannot read "${path}/${MEMORY}": it has ${bytes} bytes, and should have ${saved.memory.length}`,
    );
  }
  return { saved, memoryFd };
}

/** Reads all of a snapshot, as one that comes from elsewhere should be before it is used. */
export function verifySnapshot(path: string): SavedGuest {
  const { saved, memoryFd } = openSnapshot(path);
  try {
    const { length, digests } = saved.memory;
    if (digests === undefined) {
      throw new SnapshotError(`Cannot use "${path}": it does not say what its memory holds`);
    }
    const found = new Uint8Array(digests.length);
    const digest = new MemoryDigest(memoryFd, { length, digests: found });
    while (!digest.step());
    if (!digests.every((byte, i) => byte === found[i])) {
      throw new SnapshotError(`Cannot use "${path}/${MEMORY}": its content is not what was saved`);
    }
    return saved;
  } finally {
    close(memoryFd);
  }
}

function openFile(path: string): number {
  try {
    return open(path, O_RDONLY);
  } catch (cause) {
    throw new SnapshotError((cause as Error).message, { cause });
  }
}

function readState(path: string): SavedGuest {
  const fd = openFile(path);
  try {
    const size = length(fd);
    if (size > MAX_STATE_BYTES) {
      throw new SnapshotError(`it has ${size} bytes, and ${MAX_STATE_BYTES} are the most`);
    }
    const bytes = new Uint8Array(size);
    return decodeGuest(bytes.subarray(0, readAt(fd, bytes, 0)));
  } catch (cause) {
    throw new SnapshotError(`Cannot use the snapshot "${path}": ${(cause as Error).message}`, {
      cause,
    });
  } finally {
    close(fd);
  }
}
