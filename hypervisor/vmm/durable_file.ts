/**
 * Small files that say something for good: a power cut leaves the old or the new, never a half.
 *
 * @module
 */

/** Returns once the file `path` holds `text` on the disk. */
export function writeDurably(path: string, text: string): void {
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
  Deno.renameSync(temporary, path);
  using directory = Deno.openSync(path.replace(/[^/]*$/, "") || ".");
  directory.syncSync();
}
