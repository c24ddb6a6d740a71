/**
 * What a guest keeps of its cloud-init disk: how that is made, changed, and taken over by another guest.
 *
 * @module
 */
import type * as z from "zod";
import type {
  CloudInit,
  CloudInitCreate,
  CloudInitFacts,
  CloudInitUpdate,
} from "../api/schemas.ts";
import { problem } from "../problem.ts";
import { networkConfigMistake } from "./network_config.ts";
import { type Seed, seedOf } from "./seed.ts";

/** One that no other guest has ever had. */
function newInstanceId(): string {
  return crypto.randomUUID();
}

/** Throws where a text says what no system can make sense of; `doing` begins the message. */
function refuseMistake({ networkConfig }: Pick<CloudInit, "networkConfig">, doing: string): void {
  const mistake = networkConfig === null ? null : networkConfigMistake(networkConfig);
  if (mistake === null) return;
  const path = "cloudInit.networkConfig";
  throw problem("invalid_body", `${doing}: ${path}: ${mistake}`, {
    fields: [{ path, message: mistake }],
  });
}

/** What is kept for a new guest. */
export function newCloudInit(
  wish: z.output<typeof CloudInitCreate> | null,
  doing: string,
): CloudInit | null {
  if (wish === null) return null;
  refuseMistake(wish, doing);
  return { instanceId: newInstanceId(), ...wish };
}

/** What is kept once `change` is made of it; without one, it stays. */
export function changedCloudInit(
  now: CloudInit | null,
  change: CloudInitUpdate | null | undefined,
  doing: string,
): CloudInit | null {
  if (change === undefined) return now;
  if (change === null) return null;
  const { newInstance = false, ...texts } = change;
  const before = now ?? { userData: null, networkConfig: null, hostname: null, sshKeys: [] };
  const next = { ...before, ...texts };
  refuseMistake(next, doing);
  const isNew = now === null || newInstance;
  return { ...next, instanceId: isNew ? newInstanceId() : now.instanceId };
}

/**
 * What a guest that is made out of another keeps, and what it goes on with: another instance, which is
 * called as the guest is.
 */
export function ofChild(
  parent: { kept: CloudInit | null; ran: Seed | null },
): { kept: CloudInit | null; ran: Seed | null } {
  const instanceId = newInstanceId();
  return {
    kept: parent.kept && { ...parent.kept, instanceId, hostname: null },
    ran: parent.ran && { ...parent.ran, instanceId },
  };
}

/** What everybody is told of it. */
export function cloudInitFacts(
  guest: { name: string; cloudInit: CloudInit | null },
): CloudInitFacts | null {
  const seed = seedOf(guest);
  if (seed === null) return null;
  const { instanceId, hostname, userData, networkConfig, sshKeys } = seed;
  const bytes = (text: string | null) =>
    text === null ? null : new TextEncoder().encode(text).length;
  return {
    ...{ instanceId, hostname, sshKeys: sshKeys.length },
    userDataBytes: bytes(userData),
    networkConfigBytes: bytes(networkConfig),
  };
}
