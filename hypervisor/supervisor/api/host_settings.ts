/**
 * What the appliance can be told by a file, `denovisor.yaml`, before anybody has signed in.
 *
 * @module
 */
import * as z from "zod";
import { Network } from "./network_schemas.ts";
import { HostSshKeys } from "./ssh_schemas.ts";
import { parseSyslogTarget } from "./syslog_target.ts";

/** Changes with what older releases could not read. */
export const SETTINGS_VERSION = 1;

const HOST_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const ServerName = z.string().regex(
  /^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/,
  "must be a host name or an IP address",
);

const DiskName = z.string().min(1).max(128);

const NamedDisk = z.strictObject({
  disk: DiskName,
  /** All that is on it may be lost. */
  erase: z.boolean().default(false),
});

/**
 * Every field may be left out, which leaves alone what it sets, or be null, which sets it back to its
 * default.
 */
export const HostSettings = z.strictObject({
  /** What the host calls itself: "denovisor" by default. */
  hostname: z.string().regex(
    HOST_NAME,
    "must be 1 to 63 of a-z, 0-9 and '-', and begin and end with a letter or digit",
  ),
  network: Network,
  /** The hash of the console's password, as `denovisor hash-password` prints it. */
  password: z.string().regex(
    /^argon2id\$m=[1-9][0-9]{1,5},t=[1-9][0-9]?,p=1\$[\w-]{22}\$[\w-]{43}$/,
    "must be a hash as `denovisor hash-password` prints it",
  ),
  /** Such as Europe/Berlin; UTC by default. */
  timezone: z.string().max(64).refine(isTimeZone, "must be a time zone such as Europe/Berlin"),
  /** Servers that tell the time; none by default. */
  ntp: z.array(ServerName).max(8),
  /** Where the log is sent to, such as logs.example or tcp://192.0.2.1:601; by UDP to port 514 by default. */
  syslog: z.string().max(280).refine(
    (text) => parseSyslogTarget(text) !== null,
    "must be a host, such as logs.example or tcp://192.0.2.1:601",
  ),
  /** Keys that may log in by SSH, as root; without any, which is the default, there is no SSH. */
  sshKeys: HostSshKeys,
  /** What whoever stands before the host may do at its screen. */
  screen: z.strictObject({
    /** "power" for restarting and powering off alone, "none" for nothing; the page is always there. */
    menu: z.enum(["full", "power", "none"]).default("full"),
    /** Whether the menu opens a shell with all rights. */
    shell: z.boolean().default(true),
  }),
  /**
   * Disks that the data are to be on, one or two, each by its serial number or World Wide Name: at the
   * first start alone. What holds anything is used only where `erase` allows it.
   */
  dataDisks: z.array(z.union([DiskName, NamedDisk], {
    error: "must be a disk's serial number, or { disk: NUMBER, erase: true }",
  })).max(2),
  /** The disk that this system is to be installed on when it is started and there are no data yet. */
  install: NamedDisk,
  /** When the two disks of a mirror are compared; monthly by default. */
  scrub: z.enum(["monthly", "off"]),
});

export type HostSettings = Partial<z.output<typeof HostSettings>>;
export type SettingName = keyof typeof HostSettings.shape;

/** The schema for editors and for who wants to check a file beforehand. */
export function settingsJsonSchema(): Record<string, unknown> {
  const { shape } = HostSettings;
  const fields = Object.entries(shape).map(([name, it]) => [name, it.nullable().optional()]);
  return {
    title: "denovisor.yaml",
    ...z.toJSONSchema(z.strictObject(Object.fromEntries(fields)), { io: "input" }),
  };
}

function isTimeZone(name: string): boolean {
  try {
    // An offset such as +01:00 is one for Intl, but not for the programs of the host.
    return /^[A-Z]/.test(name) && new Intl.DateTimeFormat("en", { timeZone: name }) !== null;
  } catch {
    return false;
  }
}
