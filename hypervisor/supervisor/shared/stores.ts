/**
 * Storage that other hosts see too: directories that somebody has mounted, by names of this host's.
 *
 * What is there is looked at again and again, off the event loop: a mount may come late, go, or stop answering.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import { delay } from "@std/async";
import type { HostStore } from "../api/schemas.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { SharedFileStore } from "../store/shared_files.ts";
import { removeOldProbes } from "./probe.ts";
import { makeToken, readToken } from "./token.ts";

const MIB = 1024 * 1024;
const LOOK_MS = 10_000;
/** What does not answer within this is not there, in milliseconds. */
const ANSWER_MS = 5_000;

export interface StoreOption {
  name: string;
  directory: string;
}

interface Seen {
  /** Null where it cannot be used. */
  token: string | null;
  /** Why, as the end of a sentence; null where it can be. */
  problem: string | null;
  sizeMiB: number;
  freeMiB: number;
}

const NOT_YET: Seen = { token: null, problem: "nobody has looked yet", sizeMiB: 0, freeMiB: 0 };

interface Known extends StoreOption {
  seen: Seen;
  /** Ends once it answers, which may be never. */
  looking: Promise<Seen> | null;
}

export interface StoresOptions {
  table: SharedFileStore;
  log: Log;
  /** Storage can be used that could not be before. */
  appeared?: () => void;
  lookMs?: number;
  answerMs?: number;
}

export class Stores {
  readonly #stores: Known[];
  readonly #options: StoresOptions;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;

  constructor(stores: readonly StoreOption[], options: StoresOptions) {
    this.#stores = stores.map((it) => ({ ...it, seen: NOT_YET, looking: null }));
    this.#options = options;
    if (stores.length === 0) return;
    this.#timer = setInterval(() => void this.look(), options.lookMs ?? LOOK_MS);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  /** As they were seen last. */
  list(): HostStore[] {
    return this.#stores.map(({ name, directory, seen: { problem, sizeMiB, freeMiB } }) => (
      { name, directory, problem, sizeMiB, freeMiB }
    ));
  }

  /** Looks at all of them; those that do not answer are waited for only so long. */
  async look(): Promise<void> {
    await Promise.all(this.#stores.map((it) => this.#lookAt(it)));
  }

  async #lookAt(store: Known): Promise<void> {
    const { log, appeared, answerMs = ANSWER_MS } = this.#options;
    // One that does not answer is asked once.
    store.looking ??= this.#see(store).finally(() => store.looking = null);
    const answered = new AbortController();
    const late = delay(answerMs, { signal: answered.signal, persistent: false })
      .then((): Seen => ({ ...NOT_YET, problem: `"${store.directory}" does not answer` }));
    late.catch(() => {});
    const found = await Promise.race([store.looking, late]);
    answered.abort();
    if (this.#isClosed) return;
    const seen = this.#butTwin(store, found);
    const before = store.seen;
    store.seen = seen;
    if (before.problem === seen.problem) return;
    const { name, directory } = store;
    if (seen.problem === null) log("info", "a store can be used", { name, directory });
    else log("warn", "a store cannot be used", { name, directory, error: seen.problem });
    if (seen.problem === null) appeared?.();
  }

  /** Storage has one name, so that it is known which. */
  #butTwin({ name }: Known, seen: Seen): Seen {
    const twin = this.#stores.find((it) =>
      it.name !== name && seen.token !== null && it.seen.token === seen.token
    );
    return twin === undefined ? seen : { ...NOT_YET, problem: `it is the store "${twin.name}"` };
  }

  async #see(store: Known): Promise<Seen> {
    const { directory } = store;
    try {
      const { isDirectory } = await Deno.stat(directory);
      if (!isDirectory) throw new Error(`"${directory}" is no directory`);
      const token = await this.#tokenOf(store);
      const { blocks, bavail, bsize } = await statfs(directory);
      return {
        ...{ token, problem: null },
        ...{
          sizeMiB: Math.floor(blocks * bsize / MIB),
          freeMiB: Math.floor(bavail * bsize / MIB),
        },
      };
    } catch (error) {
      const isGone = error instanceof Deno.errors.NotFound;
      const why = isGone ? `there is no directory "${directory}"` : messageOf(error);
      return { ...NOT_YET, problem: why };
    }
  }

  /** Throws where other storage is there, or none: disks made on that would be somewhere else than the others. */
  async #tokenOf({ name, directory, seen }: Known): Promise<string> {
    const { table } = this.#options;
    const found = await readToken(directory);
    if (this.#isClosed) throw new Error("The supervisor stops");
    const known = table.token(name);
    if (known !== null && known !== found && table.isUsed(name)) {
      const what = found === null ? "has no store in it" : "is another store than it was";
      throw new Error(`"${directory}" ${what}: is it mounted?`);
    }
    const token = found ?? await makeToken(directory);
    if (this.#isClosed) throw new Error("The supervisor stops");
    if (known !== token) table.setToken(name, token);
    if (seen.token === null) await removeOldProbes(directory).catch(() => {});
    return token;
  }

  /** Where it is, as it was seen last; throws where it cannot be used. */
  directory(name: string): string {
    const { directory, seen } = this.#find(name);
    if (seen.problem === null) return directory;
    throw problem("store_unavailable", `Cannot use the store "${name}": ${seen.problem}`);
  }

  /** The same, as it is now. */
  async require(name: string): Promise<string> {
    await this.#lookAt(this.#find(name));
    return this.directory(name);
  }

  #find(name: string): Known {
    const found = this.#stores.find((it) => it.name === name);
    if (found !== undefined) return found;
    throw problem(
      "no_such_store",
      `Cannot use the store "${name}": the supervisor was not started with --shared-store ` +
        `${name}=DIR`,
    );
  }

  /** The token of one that can be used; throws where it cannot be. */
  token(name: string): string {
    this.directory(name);
    return this.#find(name).seen.token!;
  }

  /** What the storage with a token is called here; null where it is not here, or cannot be used. */
  named(token: string): string | null {
    return this.#stores.find(({ seen }) => seen.token === token)?.name ?? null;
  }
}
