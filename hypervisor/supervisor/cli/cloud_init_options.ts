/**
 * Options of `create` and `change` for cloud-init, whose texts are files.
 *
 * @module
 */
import type { CloudInitCreate, CloudInitUpdate } from "../api/schemas.ts";
import { CLOUD_INIT_MOST } from "../api/limits.ts";
import { type Options, UsageError, yesOrNo } from "./arguments.ts";

/** Options with one value, and one that may be given several times. */
export const CLOUD_INIT = ["user-data", "network-config", "hostname", "cloud-init"];
export const CLOUD_INIT_LISTS = ["ssh-key"];

export const CLOUD_INIT_HELP = `[--user-data FILE] [--network-config FILE] [--hostname NAME]
         [--ssh-key FILE]... [--cloud-init yes|no]`;

/** What a file of text has; one that is far too long is not read. */
function readText(path: string, mostBytes: number): string {
  try {
    const { size } = Deno.statSync(path);
    if (size > mostBytes) {
      throw new UsageError(`"${path}" has ${size} bytes, and may have ${mostBytes}`);
    }
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false })
      .decode(Deno.readFileSync(path));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (error instanceof TypeError) throw new UsageError(`"${path}" is no text`);
    throw new UsageError(`cannot read "${path}": ${(error as Error).message}`);
  }
}

/** The text of a file; null for `--user-data=-`, undefined where the option was not given. */
function fileOf(options: Options, name: string, mostBytes: number): string | null | undefined {
  const path = options[name];
  if (path === undefined) return undefined;
  return path === "-" ? null : readText(String(path), mostBytes);
}

/** The keys in files, one a line, as in `authorized_keys`; none for `-`. */
function keysOf(options: Options): string[] | undefined {
  const paths = (options["ssh-key"] ?? []) as string[];
  if (paths.length === 0) return undefined;
  const { sshKeys, sshKeyCharacters } = CLOUD_INIT_MOST;
  return paths.filter((path) => path !== "-").flatMap((path) =>
    readText(path, sshKeys * sshKeyCharacters).split(/\r?\n/).map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"))
  );
}

function textsOf(options: Options): CloudInitUpdate {
  const { userDataBytes, networkConfigBytes } = CLOUD_INIT_MOST;
  const { hostname } = options;
  const texts = {
    userData: fileOf(options, "user-data", userDataBytes),
    networkConfig: fileOf(options, "network-config", networkConfigBytes),
    hostname: hostname === "-" ? null : hostname as string | undefined,
    sshKeys: keysOf(options),
  };
  return Object.fromEntries(Object.entries(texts).filter(([, it]) => it !== undefined));
}

/** What the options say of it; undefined where they say nothing, null where there is to be no disk for it. */
export function cloudInitOf(options: Options): CloudInitCreate | null | undefined {
  const texts = textsOf(options) as CloudInitCreate;
  const isWanted = yesOrNo(options["cloud-init"], "cloud-init");
  const isSaid = Object.keys(texts).length > 0;
  if (isWanted === false && isSaid) {
    throw new UsageError("--cloud-init no and what it is to be told contradict each other");
  }
  if (isWanted === false) return null;
  return isWanted || isSaid ? texts : undefined;
}

/** What is to change of it. */
export function cloudInitChange(options: Options): CloudInitUpdate | null | undefined {
  const said = cloudInitOf(options);
  if (options["new-instance"] !== true) return said;
  if (said === null) {
    throw new UsageError("--cloud-init no and --new-instance contradict each other");
  }
  return { ...said, newInstance: true };
}
