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

export class OwnSizes {
  readonly #files: Pick<SnapshotFiles, "ownBytes">;
  readonly #waitMs: number;
  readonly #bytes = new Map<string, number>();
  /** By guest. */
  readonly #looking = new Map<string, Promise<void>>();

  constructor(files: Pick<SnapshotFiles, "ownBytes">, { waitMs = WAIT_MS } = {}) {
    this.#files = files;
    this.#waitMs = waitMs;
  }

  /** As it was found last; null where nobody has looked yet. */
  of(snapshot: string): number | null {
    return this.#bytes.get(snapshot) ?? null;
  }

  /** Looks at a guest's snapshots again. Where that takes longer than a moment, `late` is called at its end. */
  async look(guest: string, snapshots: readonly Owned[], late: () => void): Promise<void> {
    // Whoever looks already may have been at one before it changed.
    const before = this.#looking.get(guest);
    const looking = (async () => {
      await before;
      for (const { guest, id } of snapshots) {
        this.#bytes.set(id, await this.#files.ownBytes(guest, id));
      }
    })();
    this.#looking.set(guest, looking);
    let isLate = false;
    const over = looking.finally(() => {
      if (this.#looking.get(guest) === looking) this.#looking.delete(guest);
    });
    const ended = new AbortController();
    await Promise.race([
      over.finally(() => ended.abort()),
      delay(this.#waitMs, { signal: ended.signal }).then(() => isLate = true, () => {}),
    ]);
    // There may be nobody left to be told.
    if (isLate) over.then(late).catch(() => {});
  }

  forget(snapshot: string): void {
    this.#bytes.delete(snapshot);
  }
}
