/**
 * Moves a lock file's pins to the newest versions that the mirror serves, or adds pins to it.
 *
 * Usage: ./scripts/pins [LOCK-FILE [bookworm|trixie NAME...]]
 * A pin never goes back: where the mirror has only older versions, it stays.
 *
 * Without a lock file: all that the checkout has.
 *
 * @module
 */
import { candidate, refresh } from "./setup/apt.ts";
import { exists } from "./setup/built_once.ts";
import { CHECKOUT } from "./setup/checkout.ts";
import { readLock } from "./setup/debs.ts";
import { formatLock, type Lock } from "./setup/lock_file.ts";

const LOCK_FOLDERS = ["bootimg", "scripts/setup"];

/** By Debian's own rules. */
async function isOlder(version: string, than: string): Promise<boolean> {
  const args = ["--compare-versions", version, "lt", than];
  return (await new Deno.Command("dpkg", { args }).output()).success;
}

/** Writes the lock file anew and returns a line for every pin that moved, or cannot. */
export async function movePins(
  lockFile: string,
  added: { [suite in keyof Lock]?: readonly string[] } = {},
): Promise<string[]> {
  const path = `${CHECKOUT}/${lockFile}`;
  const lock = await exists(path) ? await readLock(lockFile) : {};
  const moved: string[] = [];
  for (const suite of ["bookworm", "trixie"] as const) {
    const names = new Set([...Object.keys(lock[suite] ?? {}), ...(added[suite] ?? [])]);
    if (names.size === 0) continue;
    await refresh(suite);
    const pins = lock[suite] ??= {};
    for (const name of names) {
      const newest = await candidate(suite, name);
      const before = pins[name]?.version;
      if (before !== undefined && await isOlder(newest.version, before)) {
        moved.push(`${suite} ${name}: stays at ${before}, as the mirror has ${newest.version}`);
        continue;
      }
      if (before !== newest.version) {
        moved.push(`${suite} ${newest.package}: ${before ?? "new"} -> ${newest.version}`);
      }
      pins[name] = newest;
    }
  }
  await Deno.writeTextFile(`${path}.new`, formatLock(lock));
  await Deno.rename(`${path}.new`, path);
  return moved;
}

/** The lock files of Debian packages in the checkout, relative to it. */
export async function lockFiles(): Promise<string[]> {
  const found: string[] = [];
  for (const folder of LOCK_FOLDERS) {
    for await (const { name } of Deno.readDir(`${CHECKOUT}/${folder}`)) {
      if (name.endsWith(".lock")) found.push(`${folder}/${name}`);
    }
  }
  return found.sort();
}

if (import.meta.main) {
  const [lockFile, suite, ...names] = Deno.args;
  const isLock = lockFile === undefined || lockFile.endsWith(".lock");
  if (!isLock || suite !== undefined && suite !== "bookworm" && suite !== "trixie") {
    console.error("Usage: ./scripts/pins [LOCK-FILE [bookworm|trixie NAME...]]");
    Deno.exit(2);
  }
  for (const file of lockFile === undefined ? await lockFiles() : [lockFile]) {
    const moved = await movePins(file, suite ? { [suite]: names } : {});
    console.log(
      moved.length > 0 ? moved.map((it) => `${file}: ${it}`).join("\n") : `${file} is up to date`,
    );
  }
}
