/**
 * The processes that PID 1 runs beside itself, each with the permissions that it needs and no more.
 *
 * The build writes them to `/app/services.json`, which PID 1 reads.
 *
 * @module
 */

/** The console's user and group: it is the one process that speaks to the network. */
export const CONSOLE_UID = 990;

/** Where process 1 lets the supervisor change the host's network. */
export const HOST_SOCKET = "/run/denovisor/host.sock";

/** Where the kernel shows what it kept of a crash over the restart. */
export const PSTORE = "/run/denovisor/pstore";

/** Where process 1 puts the hash of the password that `denovisor.yaml` gives, if it does. */
export const PASSWORD_FILE = "/run/denovisor/password";

/** Stands, in an argument, for the folder of guests to import; without one the argument is left out. */
export const IMPORT_PLACEHOLDER = "{import}";

export interface ServiceSpec {
  name: string;
  /** Below /app. */
  entry: string;
  /** Deno's own flags, above all permissions. */
  flags: string[];
  args: string[];
  uid?: number;
  env?: Record<string, string>;
  /** Rooms of the log that it may speak for beside its own. */
  speaksFor?: string[];
}

export const SERVICES: readonly ServiceSpec[] = [
  {
    name: "supervisor",
    entry: "supervisor.js",
    speaksFor: ["vmm"],
    // It starts VMMs itself, by FFI. It speaks to them on unix sockets, which Deno can grant singly only
    // to who knows their paths beforehand, and to other hosts.
    flags: [
      "--allow-ffi",
      "--allow-read",
      "--allow-write",
      "--allow-sys",
      "--allow-env",
      "--allow-net",
    ],
    args: [
      "--data=/data",
      "--run=/run/denovisor",
      "--vmm=/app/vmm.js",
      "--peers=8444",
      `--host-socket=${HOST_SOCKET}`,
      `--password-file=${PASSWORD_FILE}`,
      `--pstore=${PSTORE}`,
      `--import=${IMPORT_PLACEHOLDER}`,
    ],
  },
  {
    name: "console",
    entry: "console.js",
    uid: CONSOLE_UID,
    flags: [
      "--allow-net",
      "--allow-read=/app,/data/console,/run/denovisor/console",
      "--allow-write=/data/console,/run/denovisor/console",
      "--allow-env",
      "--allow-sys",
    ],
    args: [
      "--api=/run/denovisor/console/api.sock",
      "--tls-dir=/data/console",
      "--assets=/app/mgmt",
    ],
  },
];

/** The command line of a service. */
export function commandOf(
  spec: ServiceSpec,
  options: { importFolder: string | null },
): string[] {
  const args = spec.args
    .filter((it) => options.importFolder !== null || !it.includes(IMPORT_PLACEHOLDER))
    .map((it) => it.replaceAll(IMPORT_PLACEHOLDER, options.importFolder ?? ""));
  return [
    "/bin/deno",
    "run",
    "--quiet",
    "--no-config",
    "--no-remote",
    "--no-npm",
    "--no-lock",
    "--no-prompt",
    "--no-check",
    ...spec.flags,
    `/app/${spec.entry}`,
    ...args,
  ];
}

/** Reads `/app/services.json`. */
export function parseServices(text: string): ServiceSpec[] {
  const bad = (why: string) => new TypeError(`Cannot read the list of services: ${why}`);
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw bad("it is not an array");
  const isTexts = (it: unknown) => Array.isArray(it) && it.every((x) => typeof x === "string");
  for (const it of list) {
    if (typeof it?.name !== "string" || typeof it.entry !== "string") {
      throw bad("a service must have a name and an entry");
    }
    if (!isTexts(it.flags) || !isTexts(it.args)) {
      throw bad(`"${it.name}" must have flags and args, each an array of texts`);
    }
    if (it.speaksFor !== undefined && !isTexts(it.speaksFor)) {
      throw bad(`the rooms that "${it.name}" speaks for must be an array of texts`);
    }
    if (it.uid !== undefined && !Number.isInteger(it.uid)) {
      throw bad(`the uid of "${it.name}" must be an integer`);
    }
  }
  return list as ServiceSpec[];
}
