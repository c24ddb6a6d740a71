/**
 * The programs that make the image, all of pinned versions, so that the same commit gives the same
 * bytes on any machine. Each is run by the loader and the C library that are pinned with it: this
 * needs no root, no container, and nothing installed but Debian's own `dpkg-deb` and `apt-get`.
 *
 * @module
 */
import { builtOnce } from "../../scripts/setup/built_once.ts";
import { type CommandOptions, type CommandOutput, run } from "../../scripts/setup/command.ts";
import { fetchDebs, readLock, unpackDeb } from "../../scripts/setup/debs.ts";

/** Programs and their libraries, relative to the checkout. */
export const TOOLS_LOCK = "bootimg/tools.lock";

const LIBRARIES = "usr/lib/x86_64-linux-gnu";

let folder: Promise<string> | undefined;

/** The folder that the tools are unpacked in, made on the first call. */
export function toolsFolder(): Promise<string> {
  return folder ??= unpackTools();
}

async function unpackTools(): Promise<string> {
  const lock = await readLock(TOOLS_LOCK);
  return await builtOnce({
    name: "image-tools",
    madeFrom: JSON.stringify(lock),
    step: "unpacking the tools that make the image",
    async build(target) {
      const debs = await fetchDebs(TOOLS_LOCK, "trixie", Object.keys(lock.trixie ?? {}));
      for (const path of Object.values(debs)) await unpackDeb(path, target);
    },
  });
}

/** How to run a tool; all optional. */
export interface ToolOptions extends CommandOptions {
  /** The time that it takes for now, in seconds. */
  epoch?: number;
}

/** Runs a tool to its end; `command` begins with its name, such as `mcopy`. */
export async function runTool(
  command: readonly string[],
  options: ToolOptions = {},
): Promise<CommandOutput> {
  const { epoch, ...rest } = options;
  const { words, env } = await toolCommand(command, epoch);
  return await run(words, { shownAs: command.join(" "), ...rest, env: { ...env, ...rest.env } });
}

/** The command line that runs a tool, and the environment for it. */
export async function toolCommand(
  [name, ...args]: readonly string[],
  epoch?: number,
): Promise<{ words: string[]; env: Record<string, string> }> {
  const root = await toolsFolder();
  const libraries = `${root}/${LIBRARIES}`;
  const loader = [`${libraries}/ld-linux-x86-64.so.2`, "--library-path", libraries];
  if (epoch !== undefined) loader.push("--preload", `${libraries}/faketime/libfaketime.so.1`);
  return {
    words: [...loader, ...programOf(root, name), ...args],
    env: {
      LC_ALL: "C.UTF-8",
      TZ: "UTC",
      // What a tool loads as it runs must be of the same C library, not of this machine's.
      GCONV_PATH: `${libraries}/gconv`,
      PYTHONHOME: `${root}/usr`,
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONHASHSEED: "0",
      // A volume is a file here, of any size.
      MTOOLS_SKIP_CHECK: "1",
      ...(epoch === undefined ? {} : {
        SOURCE_DATE_EPOCH: String(epoch),
        FAKETIME: String(epoch),
        FAKETIME_FMT: "%s",
        // For processes that share it, which these do not.
        FAKETIME_DISABLE_SHM: "1",
      }),
    },
  };
}

function programOf(root: string, name: string): string[] {
  if (name === "ukify") return [`${root}/usr/bin/python3.13`, `${root}/usr/bin/ukify`];
  for (const place of ["usr/bin", "usr/sbin"]) {
    const path = `${root}/${place}/${name}`;
    try {
      Deno.statSync(path);
      return [path];
    } catch {
      // The other place.
    }
  }
  throw new Error(
    `Cannot run "${name}": no package of ${TOOLS_LOCK} has it; run ./scripts/pins ${TOOLS_LOCK} trixie PACKAGE`,
  );
}
