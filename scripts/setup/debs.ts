/**
 * Debian packages of a pinned version, for what the project ships and boots: a lock file names each
 * with its version and SHA-256.
 *
 * ```ts
 * const paths = await fetchDebs("bootimg/packages.lock", "trixie", ["linux-image-amd64"]);
 * await unpackDeb(paths["linux-image-amd64"], "/tmp/kernel");
 * ```
 *
 * @module
 */
import { exists } from "./built_once.ts";
import { CACHE, CHECKOUT, progress } from "./checkout.ts";
import { run } from "./command.ts";
import { candidate, downloadDeb, type PackageVersion } from "./apt.ts";
import { type Lock, parseLock } from "./lock_file.ts";
import type { Suite } from "./mirror.ts";

/** How strict to be. */
export interface FetchOptions {
  /**
   * Refuse a version that the mirror no longer serves, where otherwise the newest is taken, loudly.
   * By default as the command line says: true if it has `--frozen`.
   */
  frozen?: boolean;
}

/**
 * Returns the paths of the named packages' .deb files, by name, downloading what the cache lacks.
 * `lockFile` is relative to the checkout; a name in it may be a meta package such as
 * `linux-image-amd64`, which stands for the kernel that it depends on.
 */
export async function fetchDebs(
  lockFile: string,
  suite: Suite,
  names: readonly string[],
  options: FetchOptions = {},
): Promise<Record<string, string>> {
  const frozen = options.frozen ?? Deno.args.includes("--frozen");
  const lock = await readLock(lockFile);
  const paths: Record<string, string> = {};
  for (const name of names) {
    const pin = lock[suite]?.[name];
    if (!pin) {
      throw new Error(
        `Cannot fetch package "${name}": ${lockFile} does not pin it for ${suite}; run ./scripts/pins ${lockFile} ${suite} ${name}`,
      );
    }
    paths[name] = await fetchPinned({ lockFile, suite, name, frozen }, pin);
  }
  return paths;
}

/** The pinned versions of a lock file, relative to the checkout. */
export async function readLock(lockFile: string): Promise<Lock> {
  return parseLock(await Deno.readTextFile(`${CHECKOUT}/${lockFile}`), lockFile);
}

/** Unpacks a .deb's files into `target`, which is made if it is not there; runs no scripts. */
export async function unpackDeb(path: string, target: string): Promise<void> {
  await Deno.mkdir(target, { recursive: true });
  await run(["dpkg-deb", "--extract", path, target]);
}

/** What a .deb says of itself, and the digest of its file. */
export interface DebFacts extends PackageVersion {
  /** Of the source that it was built from, where that is called otherwise. */
  source: string;
}

/** Reads what a .deb says of itself. */
export async function describeDeb(path: string): Promise<DebFacts> {
  const { stdout } = await run(["dpkg-deb", "--field", path, "Package", "Version", "Source"]);
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(stdout)?.[1];
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return {
    package: field("Package")!,
    version: field("Version")!,
    sha256: new Uint8Array(digest).toHex(),
    source: field("Source") ?? field("Package")!,
  };
}

interface Wanted {
  lockFile: string;
  suite: Suite;
  name: string;
  frozen: boolean;
}

async function fetchPinned(wanted: Wanted, pin: PackageVersion): Promise<string> {
  const path = debPath(pin);
  if (await exists(path)) return path;
  progress(`downloading ${pin.package} ${pin.version} (${wanted.suite})`);
  try {
    await downloadDeb(wanted.suite, pin, path);
    return path;
  } catch (error) {
    if (wanted.frozen) {
      throw new Error(
        `Cannot fetch package "${pin.package}": version ${pin.version} of ${wanted.lockFile} is not served, and --frozen forbids another; run ./scripts/pins ${wanted.lockFile}`,
        { cause: error },
      );
    }
    const newest = await candidate(wanted.suite, wanted.name);
    if (newest.version === pin.version && newest.package === pin.package) throw error;
    progress(
      `WARNING: ${pin.package} ${pin.version} is no longer served; taking ${newest.package} ` +
        `${newest.version}, which ${wanted.lockFile} does not name (run ./scripts/pins to pin it)`,
    );
    const other = debPath(newest);
    if (!await exists(other)) await downloadDeb(wanted.suite, newest, other);
    return other;
  }
}

function debPath(pin: PackageVersion): string {
  return `${CACHE}/debs/${pin.package}_${pin.version.replaceAll(":", "%3a")}_${
    pin.sha256.slice(0, 12)
  }.deb`;
}
