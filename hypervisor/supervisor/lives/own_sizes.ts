/**
 * What snapshots have on the host's disk that they share with nothing. It becomes more as others are deleted
 * and as disks are written to, and of a file in very many pieces it takes seconds to find out: so nobody
 * waits for all of it.
 *
 * @module
 */
import { delay } from "@std/async";
import type { SnapshotFiles } from "./snapshot_files.ts";

/** How long somebody waits who wants to know. */
const WAIT_MS = 300;

interface Owned {
  guest: string;
  id: string;
}

/** One that can be looked at. */
type Found = Parameters<SnapshotFiles["ownBytes"]>[0];

/** What is known of a guest's snapshots. */
interface Sizes {
  bytes: Map<string, number>;
  /** Finds it out at present. */
  running: Promise<void> | null;
  /** Begins after that, for all who have asked meanwhile. */
  waiting: Waiting | null;
}

interface Waiting {
  /** As whoever asked last has them. */
  snapshots: readonly Found[];
  end: Promise<void>;
}

export class OwnSizes {
  readonly #files: Pick<SnapshotFiles, "ownBytes">;
  readonly #waitMs: number;
  /** By guest. */
  readonly #sizes = new Map<string, Sizes>();

  constructor(files: Pick<SnapshotFiles, "ownBytes">, { waitMs = WAIT_MS } = {}) {
    this.#files = files;
    this.#waitMs = waitMs;
  }

  /** As it was found last; null where nobody has looked yet. */
  of({ guest, id }: Owned): number | null {
    return this.#sizes.get(guest)?.bytes.get(id) ?? null;
  }

  /**
   * Looks at all of a guest's snapshots again. Where that takes longer than a moment, `late` is called at its
   * end.
   */
  async look(guest: string, snapshots: readonly Found[], late: () => void): Promise<void> {
    let sizes = this.#sizes.get(guest);
    if (sizes === undefined) {
      sizes = { bytes: new Map(), running: null, waiting: null };
      this.#sizes.set(guest, sizes);
    }
    const end = this.#end(sizes, snapshots);
    let isLate = false;
    const ended = new AbortController();
    await Promise.race([
      end.finally(() => ended.abort()),
      delay(this.#waitMs, { signal: ended.signal }).then(() => isLate = true, () => {}),
    ]);
    // There may be nobody left to be told.
    if (isLate) end.then(late).catch(() => {});
  }

  /** Resolves when all has been looked at that is so now. */
  #end(sizes: Sizes, snapshots: readonly Found[]): Promise<void> {
    const { running, waiting } = sizes;
    if (waiting !== null) {
      waiting.snapshots = snapshots;
      return waiting.end;
    }
    if (running === null) return this.#run(sizes, snapshots);
    // Whoever looks already may have been at one before it changed.
    const next: Waiting = { snapshots, end: Promise.resolve() };
    next.end = running.catch(() => {}).then(() => {
      sizes.waiting = null;
      return this.#run(sizes, next.snapshots);
    });
    sizes.waiting = next;
    return next.end;
  }

  #run(sizes: Sizes, snapshots: readonly Found[]): Promise<void> {
    const running = this.#find(sizes, snapshots).finally(() => {
      if (sizes.running === running) sizes.running = null;
    });
    sizes.running = running;
    return running;
  }

  async #find({ bytes }: Sizes, snapshots: readonly Found[]): Promise<void> {
    for (const it of snapshots) bytes.set(it.id, await this.#files.ownBytes(it));
    // Those that are deleted are not asked for any more.
    const ids = new Set(snapshots.map(({ id }) => id));
    for (const id of bytes.keys()) if (!ids.has(id)) bytes.delete(id);
  }

  forget({ guest, id }: Owned): void {
    this.#sizes.get(guest)?.bytes.delete(id);
  }

  /** Forgets all of a guest that is gone. */
  forgetGuest(guest: string): void {
    this.#sizes.delete(guest);
  }
}
