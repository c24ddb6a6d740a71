/**
 * Asking Debian's archive about packages of another release than this machine's, with apt state of
 * our own: the machine's sources and lists stay as they are.
 *
 * @module
 */
import { exists, removeTree } from "./built_once.ts";
import { CACHE, progress } from "./checkout.ts";
import { run } from "./command.ts";
import { hostPackages } from "./host_packages.ts";
import { fetchSettings, sourcesFor, type Suite } from "./mirror.ts";

/** One version of one package. */
export interface PackageVersion {
  /** The package's real name, which for a meta package's pin is the one it stands for. */
  package: string;
  version: string;
  /** Of the .deb file. */
  sha256: string;
}

/** The newest version of `name` in `suite`; a kernel's meta package stands for that kernel. */
export async function candidate(suite: Suite, name: string): Promise<PackageVersion> {
  const records = await show(suite, name);
  const kernel = /^linux-image(-[a-z]+)?-amd64$/.test(name) &&
    /\blinux-image-\d[a-z0-9+.-]*/.exec(records.Depends ?? "")?.[0];
  if (kernel) return await candidate(suite, kernel);
  return { package: name, version: records.Version, sha256: records.SHA256 };
}

/** Downloads one version to `path`, which appears only when its bytes are right. */
export async function downloadDeb(
  suite: Suite,
  wanted: PackageVersion,
  path: string,
): Promise<void> {
  const config = await aptState(suite);
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".download-" });
  try {
    await run(
      ["apt-get", "download", "-q", `${wanted.package}=${wanted.version}`],
      { cwd: folder, env: { APT_CONFIG: config } },
    );
    const [entry] = [...Deno.readDirSync(folder)];
    const bytes = await Deno.readFile(`${folder}/${entry.name}`);
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    if (sha256 !== wanted.sha256) {
      throw new Error(
        `Cannot take package "${wanted.package}": its SHA-256 is ${sha256}, the lock file says ${wanted.sha256}`,
      );
    }
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.rename(`${folder}/${entry.name}`, path);
  } finally {
    await removeTree(folder);
  }
}

/** Fetches the archive's lists anew, so that {@linkcode candidate} answers with what is served now. */
export async function refresh(suite: Suite): Promise<void> {
  await removeTree(`${stateFolder(suite)}/apt.conf`);
  await aptState(suite);
}

/** The number is another where the state's sources are. */
function stateFolder(suite: Suite): string {
  return `${CACHE}/apt-${suite}-2`;
}

async function show(suite: Suite, name: string): Promise<Record<string, string>> {
  const { stdout } = await run(["apt-cache", "show", "--no-all-versions", name], {
    env: { APT_CONFIG: await aptState(suite) },
  });
  const fields: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    const field = /^([A-Za-z0-9-]+): (.*)$/.exec(line);
    if (field) fields[field[1]] ??= field[2];
  }
  if (!fields.Version || !fields.SHA256) {
    throw new Error(`Cannot find package "${name}": Debian ${suite} does not have it`);
  }
  return fields;
}

/** Firmware for network cards is free to give away, and not free software: nothing else is taken there. */
const COMPONENTS = ["main", "non-free-firmware"];

/** Returns the path of an apt.conf whose state is the cache's, with the archive's lists fetched. */
async function aptState(suite: Suite): Promise<string> {
  const folder = stateFolder(suite);
  const config = `${folder}/apt.conf`;
  if (await exists(config)) return config;
  await hostPackages(["debian-archive-keyring", "ca-certificates"]);
  await Deno.mkdir(folder, { recursive: true });
  using lock = await Deno.open(`${folder}/lock`, { create: true, write: true });
  await lock.lock(true);
  if (await exists(config)) return config;
  progress(`fetching the package lists of Debian ${suite}`);
  for (const dir of ["etc/apt.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"]) {
    await Deno.mkdir(`${folder}/${dir}`, { recursive: true });
  }
  await Deno.writeTextFile(
    `${folder}/etc/sources.list`,
    (await sourcesFor(suite, COMPONENTS)).join("\n"),
  );
  await Deno.writeTextFile(`${folder}/status`, "");
  const settings = [
    `Dir::Etc "${folder}/etc";`,
    `Dir::State "${folder}";`,
    `Dir::State::lists "${folder}/lists";`,
    `Dir::State::status "${folder}/status";`,
    `Dir::Cache "${folder}";`,
    `Dir::Etc::trusted "/usr/share/keyrings/debian-archive-keyring.gpg";`,
    'APT::Architecture "amd64";',
    'APT::Architectures { "amd64"; };',
    // The download runs as root: the cache may lie where apt's own user cannot enter.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    ...await fetchSettings(),
  ];
  const half = `${folder}/apt.conf.half`;
  await Deno.writeTextFile(half, settings.join("\n") + "\n");
  await run(["apt-get", "update", "-qq"], { env: { APT_CONFIG: half } });
  await Deno.rename(half, config);
  return config;
}
