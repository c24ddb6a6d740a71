/**
 * Files written so that a power cut leaves the old or the new, never a half.
 *
 * @module
 */

/**
 * The directory that `path` lies in. @std/path looks for Node's `process` as it is loaded, which process
 * 1 of the appliance cannot have: it starts without /proc.
 */
export function dirname(path: string): string {
  const at = path.lastIndexOf("/");
  return at > 0 ? path.slice(0, at) : at === 0 ? "/" : ".";
}

/** Returns once the names in the directory `path` are on the disk. */
export function syncDirectory(path: string): void {
  const directory = Deno.openSync(path);
  try {
    directory.syncSync();
  } finally {
    directory.close();
  }
}

/** Returns once the bytes of the file `path` are on the disk. */
export async function syncFile(path: string): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.sync();
}

/** Gives `from` the name `to`, both in the same file system, and returns once that is on the disk. */
export function renameDurably(from: string, to: string): void {
  Deno.renameSync(from, to);
  syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) syncDirectory(dirname(from));
}

/** Writes a small file whole. */
export function writeFileDurably(
  path: string,
  text: string,
  options: { mode?: number } = {},
): void {
  const temporary = `${path}.new`;
  {
    using file = Deno.openSync(temporary, {
      write: true,
      create: true,
      truncate: true,
      mode: options.mode ?? 0o600,
    });
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
  }
  renameDurably(temporary, path);
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Removes a file or a whole directory; one that is missing counts as removed. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
