/**
 * The host's own SSH: keys, and nothing else, let somebody in.
 *
 * @module
 */
import * as z from "zod";
import { HOST_SSH_MOST } from "./limits.ts";
import { publicKey } from "./public_key.ts";

/** Keys that may log in as root. */
export const HostSshKeys = z.array(publicKey(HOST_SSH_MOST.keyCharacters)).max(HOST_SSH_MOST.keys);

/** Without any key nothing answers. */
export const HostSshChange = z.strictObject({ keys: HostSshKeys });

export const HostSsh = z.strictObject({
  /** Whether something answers. */
  isOn: z.boolean(),
  keys: z.array(z.strictObject({
    key: z.string(),
    /** As `ssh-keygen -l` prints it. */
    fingerprint: z.string(),
  })),
  /** What an SSH client shows of the host at the first time; null before there is one. */
  hostKey: z.strictObject({ key: z.string(), fingerprint: z.string() }).nullable(),
  /** Why it is not as it should be, for a person; else null. */
  problem: z.string().nullable(),
});

export type HostSshChange = z.output<typeof HostSshChange>;
export type HostSsh = z.output<typeof HostSsh>;
