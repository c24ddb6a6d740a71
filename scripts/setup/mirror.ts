/**
 * The Debian mirror that this machine itself uses, so that the project names none.
 *
 * @module
 */
import { progress } from "./checkout.ts";
import { run } from "./command.ts";

/** The releases of Debian that the project takes packages from. */
export type Suite = "bookworm" | "trixie";

/** One archive of the machine's apt sources. */
export interface Archive {
  uri: string;
  suite: string;
}

/** Debian's own keys, as its package `debian-archive-keyring` installs them. */
export const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** The lines of a sources.list for `suite`, from the mirrors of this machine's own sources. */
export async function sourcesFor(
  suite: Suite,
  components: readonly string[] = ["main"],
): Promise<string[]> {
  const archives = await machineArchives();
  const main = archives.find((it) => /^[a-z]+$/.test(it.suite));
  if (!main) {
    throw new Error(
      `Cannot find a mirror for "${suite}": /etc/apt names no Debian archive; add one to /etc/apt/sources.list.d`,
    );
  }
  const line = (uri: string, name: string) =>
    `deb [signed-by=${KEYRING}] ${uri} ${name} ${components.join(" ")}`;
  const lines = [line(main.uri, suite)];
  if (archives.some((it) => /^[a-z]+-updates$/.test(it.suite))) {
    lines.push(line(main.uri, `${suite}-updates`));
  }
  const security = archives.find((it) => /^[a-z]+-security$/.test(it.suite));
  if (security) lines.push(line(security.uri, `${suite}-security`));
  return lines;
}

/** What this machine sets for fetching (proxies, dates, certificates), as lines of an apt.conf. */
export async function fetchSettings(): Promise<string[]> {
  const { stdout } = await run(["apt-config", "dump"]);
  return stdout.split("\n").filter((line) =>
    /^Acquire::(https?|ftp|Check-|Retries)/i.test(line) && !/^\S+ "";$/.test(line)
  );
}

/** Every archive of Debian's that the machine's apt is set to use. */
export async function machineArchives(): Promise<Archive[]> {
  const list = async () => parseArchives((await run(LIST_ARCHIVES)).stdout);
  const archives = await list();
  // apt tells only of archives whose lists it has: a fresh machine has none, and others may lack some.
  if (archives.some(({ suite }) => suite.endsWith("-security"))) return archives;
  progress("refreshing the package lists");
  try {
    await run(["apt-get", "update", "-qq", "-o", "DPkg::Lock::Timeout=300"]);
  } catch (error) {
    // Who may not do that goes on with what there is.
    if (archives.length === 0) throw error;
  }
  return await list();
}

/** Reads apt's listing of index targets; those that are not Debian's main are left out. */
export function parseArchives(listing: string): Archive[] {
  const archives: Archive[] = [];
  for (const line of listing.split("\n")) {
    const [kind, uri, suite, component] = line.split("|");
    if (kind !== "Packages" || component !== "main" || !uri || !suite) continue;
    // Third parties name their suites otherwise.
    if (!/^(bookworm|trixie|stable|oldstable)(-updates|-security)?$/.test(suite)) continue;
    archives.push({ uri: uri.replace(/\/$/, ""), suite });
  }
  return archives;
}

const LIST_ARCHIVES = [
  "apt-get",
  "indextargets",
  "--format",
  "$(IDENTIFIER)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
  "Created-By: Packages",
];
