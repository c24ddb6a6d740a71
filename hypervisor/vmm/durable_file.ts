/**
 * Small files that say something for good: a power cut leaves the old or the new, never a half.
 *
 * @module
 */

/** What a file is to hold, on the disk under another name. */
export interface PreparedFile {
  /** Returns once the file has its name on the disk, and with it what it holds. */
  appear(): void;
  /** Leaves nothing of it. */
  discard(): void;
}

/** Does beforehand what takes longest, for a file that may never be. */
export function prepareFile(path: string, text: string): PreparedFile {
  const temporary = `${path}.new`;
  {
    using file = Deno.openSync(temporary, {
      write: true,
      create: true,
      truncate: true,
      mode: 0o600,
    });
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
  }
  return {
    appear() {
      Deno.renameSync(temporary, path);
      using directory = Deno.openSync(path.replace(/[^/]*$/, "") || ".");
      directory.syncSync();
    },
    discard: () => Deno.removeSync(temporary),
  };
}

/** Returns once the file `path` holds `text` on the disk. */
export function writeDurably(path: string, text: string): void {
  prepareFile(path, text).appear();
}

/** Removes a file that may not be there. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
