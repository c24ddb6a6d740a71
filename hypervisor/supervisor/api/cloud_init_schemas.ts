/**
 * What a guest's system is told by cloud-init, on a small disk of its own (the data source NoCloud).
 *
 * @module
 */
import * as z from "zod";
import { CLOUD_INIT_MOST } from "./limits.ts";
import { HostName } from "./names.ts";
import { publicKey } from "./public_key.ts";

/** Whatever a person writes, and no more than so many bytes of it. */
function text(mostBytes: number) {
  return z.string().max(mostBytes)
    .regex(
      /^[\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\u{10ffff}]*$/u,
      "must be text, without control characters",
    )
    .refine(
      (it) => new TextEncoder().encode(it).length <= mostBytes,
      `must have at most ${mostBytes} bytes`,
    );
}

/** How cloud-init knows what a text is that it was given. */
const BEGINNINGS = [
  ...["#cloud-config", "#!", "#include", "#cloud-boothook", "#part-handler", "## template: jinja"],
  ...["content-type: multipart/", "mime-version:"],
];

function begins(text: string): boolean {
  // A byte order mark is no white space for it.
  const begin = text.slice(text.search(/[^ \t\r\n]|$/)).slice(0, 40).toLowerCase();
  return BEGINNINGS.some((it) => begin.startsWith(it));
}

const UserData = text(CLOUD_INIT_MOST.userDataBytes).refine(
  begins,
  "must begin with #cloud-config, with #! and a program, or as else cloud-init knows it",
);

/** A line as it stands in `id_ed25519.pub`. */
const SshKey = publicKey(CLOUD_INIT_MOST.sshKeyCharacters);

const cloudInit = {
  /** What cloud-init is to do, such as a text that begins with `#cloud-config`; null for nothing more. */
  userData: UserData.nullable(),
  /** YAML of version 1 or 2, as netplan has it; null where the first card asks by DHCP. */
  networkConfig: text(CLOUD_INIT_MOST.networkConfigBytes).nullable(),
  /** What the system is to call itself; null for the guest's name. */
  hostname: HostName.nullable(),
  /** Public keys that may log in as the system's first user. */
  sshKeys: z.array(SshKey).max(CLOUD_INIT_MOST.sshKeys),
};

export const CloudInitCreate = z.strictObject({
  userData: cloudInit.userData.default(null),
  networkConfig: cloudInit.networkConfig.default(null),
  hostname: cloudInit.hostname.default(null),
  sshKeys: cloudInit.sshKeys.default([]),
});

/** What is left out stays. All of it applies at the guest's next start. */
export const CloudInitUpdate = z.strictObject({
  ...cloudInit,
  /**
   * Gives it another instance id: cloud-init takes it for a new machine, and does all of it once more, also
   * what it does once for each.
   */
  newInstance: z.boolean(),
}).partial();

/** All of it. */
export const CloudInit = z.strictObject({
  /** By which cloud-init knows whether it has done its work on this machine. */
  instanceId: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "must be 1 to 64 of A-Z, a-z, 0-9 and '-'"),
  ...cloudInit,
});

/** What each guest tells of it: the texts have a route of their own. */
export const CloudInitFacts = z.strictObject({
  instanceId: z.string(),
  /** What its next start tells. */
  hostname: z.string(),
  /** Null where there is none. */
  userDataBytes: z.int().nullable(),
  networkConfigBytes: z.int().nullable(),
  /** How many. */
  sshKeys: z.int(),
});

export type CloudInitCreate = z.input<typeof CloudInitCreate>;
export type CloudInitUpdate = z.input<typeof CloudInitUpdate>;
export type CloudInit = z.output<typeof CloudInit>;
export type CloudInitFacts = z.output<typeof CloudInitFacts>;
