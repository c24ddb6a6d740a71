/**
 * Things that are built once and kept in the cache, under a name that contains a hash of all that
 * they were made from.
 *
 * @module
 */
import { CACHE, progress } from "./checkout.ts";

/** What is to be built. */
export interface Recipe {
  /** Short, for the cache's listing: "trixie". */
  name: string;
  /** All that the result depends on; another text here builds anew. */
  madeFrom: string;
  /** The line of progress when it has to be built. */
  step: string;
  /** Builds it at `target`, a path in the cache that does not exist: a file or a folder. */
  build(target: string): Promise<void>;
}

/** How long a result that nothing names any more is kept: another checkout's commit may come back. */
const KEEP_STALE_MS = 2 * 24 * 3600 * 1000;

/**
 * Returns the path of the finished thing, building it if it is not there. Several processes may ask
 * at once: one builds, the others wait. A cut at any moment leaves it absent or whole.
 */
export async function builtOnce(recipe: Recipe): Promise<string> {
  const key = await shortHash(recipe.madeFrom);
  const path = `${CACHE}/${recipe.name}-${key}`;
  if (await exists(path)) return path;
  await Deno.mkdir(CACHE, { recursive: true });
  using lock = await Deno.open(`${CACHE}/.${recipe.name}.lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(path)) return path;
  const began = performance.now();
  progress(recipe.step);
  const half = `${CACHE}/.${recipe.name}-${key}.half`;
  await removeTree(half);
  try {
    await recipe.build(half);
    await new Deno.Command("sync", { args: ["-f", CACHE] }).output();
    await Deno.rename(half, path);
  } catch (error) {
    await removeTree(half);
    throw error;
  }
  await removeStale(recipe.name, path);
  progress(`${recipe.name} is ready (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  return path;
}

/** The first 12 hexadecimal digits of the text's SHA-256. */
export async function shortHash(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex().slice(0, 12);
}

/** Whether anything is at `path`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Removes a file or a folder with all that is in it; nothing there is fine. */
export async function removeTree(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function removeStale(name: string, current: string): Promise<void> {
  const versions = new RegExp(`^\\.?${name}-[0-9a-f]{12}(\\.half)?$`);
  for await (const entry of Deno.readDir(CACHE)) {
    const path = `${CACHE}/${entry.name}`;
    if (!versions.test(entry.name) || path === current) continue;
    const { mtime } = await Deno.lstat(path);
    if (mtime && Date.now() - mtime.getTime() > KEEP_STALE_MS) await removeTree(path);
  }
}
