/**
 * How one host shows another that both see the same storage, now, and that a lock which one holds there
 * keeps the other out: it writes a file that nobody can foresee, and locks it.
 *
 * A copy of the storage has the token, but not that file. And a mount that keeps its locks to itself, such as
 * NFS with `nolock` or `local_lock`, would have two hosts run the same disk.
 *
 * @module
 */
import { encodeHex } from "@std/encoding";
import { join } from "@std/path";
import { SysError } from "../../sys/errno.ts";
import { close, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, open } from "../../sys/files.ts";
import { tryLock, unlock } from "../../sys/flock.ts";
import { readAt, sync, writeAt } from "../../sys/positioned_io.ts";
import { removeIfThere } from "../durable.ts";

/** What `probe` and `nonce` look like. */
export const PROBE_NAME = /^[0-9a-f]{32}$/;
export const PROBE_NONCE = /^[0-9a-f]{64}$/;
const PREFIX = ".denovisor-probe-";
/** After so long, in milliseconds, nobody looks at one any more that a power cut left. */
const OLD_MS = 24 * 3600 * 1000;

/** What a host says of one to another. */
export interface Proof {
  probe: string;
  nonce: string;
}

/**
 * What a host finds: `shared` storage; `unseen`, for it is not the same, or not any more; or it is `unlocked`:
 * what one locks there, the other can lock too.
 */
export const SIGHTS = ["shared", "unseen", "unlocked"] as const;
export type Sight = typeof SIGHTS[number];

const random = (bytes: number) => encodeHex(crypto.getRandomValues(new Uint8Array(bytes)));

/** One that lies in a directory for as long as it is not disposed. */
export class Probe implements Disposable, Proof {
  readonly probe = random(16);
  readonly nonce = random(32);
  readonly #path: string;
  readonly #fd: number;
  #isOpen = true;

  constructor(directory: string) {
    this.#path = join(directory, PREFIX + this.probe);
    this.#fd = open(this.#path, O_RDWR | O_CREAT | O_EXCL);
    try {
      if (!tryLock(this.#fd)) throw new Error(`Cannot lock "${this.#path}": somebody has it`);
      writeAt(this.#fd, new TextEncoder().encode(this.nonce), 0);
      sync(this.#fd);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    removeIfThere(this.#path);
    close(this.#fd);
  }
}

/** Looks for what another host wrote into a directory. */
export function lookFor({ probe, nonce }: Proof, directory: string): Sight {
  let fd: number;
  try {
    fd = open(join(directory, PREFIX + probe), O_RDWR | O_NOFOLLOW);
  } catch (error) {
    if (error instanceof SysError) return "unseen";
    throw error;
  }
  try {
    const bytes = new Uint8Array(nonce.length + 1);
    const count = readAt(fd, bytes, 0);
    if (new TextDecoder().decode(bytes.subarray(0, count)) !== nonce) return "unseen";
    if (!tryLock(fd)) return "shared";
    unlock(fd);
    return "unlocked";
  } finally {
    close(fd);
  }
}

/** Removes what hosts left in a directory that lost their power. */
export async function removeOldProbes(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(directory, name);
    const { mtime } = await Deno.stat(path).catch(() => ({ mtime: null }));
    if (mtime !== null && Date.now() - mtime.getTime() > OLD_MS) removeIfThere(path);
  }
}
