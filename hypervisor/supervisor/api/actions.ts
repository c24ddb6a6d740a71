/**
 * What may be done with a guest in which state: the one table from which the API's answers, the
 * command line's and the console's disabled buttons (with their reasons) are derived.
 *
 * @module
 */

/**
 * - `stopped`: no process; powered off, or never started
 * - `starting`: the VMM process is being set up
 * - `running`: vCPUs run
 * - `stopping`: the power button was pressed, or the VMM is being ended
 * - `failed`: the last start or run ended in an error, which `guest.error` tells
 */
export const GUEST_STATES = ["stopped", "starting", "running", "stopping", "failed"] as const;
export type GuestState = typeof GUEST_STATES[number];

/** A state, or `paused`: up, with vCPUs that wait for what `guest.pausedFor` tells. */
export type GuestPhase = GuestState | "paused";

export const GUEST_ACTIONS = {
  start: ["stopped", "failed"],
  /** A guest that is paused takes no notice of its power button. */
  stop: ["running", "stopping"],
  force: ["running", "paused", "stopping"],
  reset: ["running", "paused", "stopping"],
  pause: ["running"],
  resume: ["paused"],
  update: ["stopped", "failed", "running", "paused"],
  delete: ["stopped", "failed"],
  console: ["starting", "running", "paused", "stopping"],
  plug: ["running"],
  unplug: ["running"],
  snapshot: ["stopped", "failed", "running", "paused"],
  revert: ["stopped", "failed", "running", "paused"],
  fork: ["stopped", "failed", "running", "paused"],
  move: ["running", "paused"],
  upgrade: ["running", "paused"],
} as const satisfies Record<string, readonly GuestPhase[]>;

export type GuestAction = keyof typeof GUEST_ACTIONS;

const VERBS: Partial<Record<GuestAction, string>> = {
  force: "force off",
  plug: "plug anything into",
  unplug: "unplug anything from",
  console: "open the console of",
  snapshot: "take a snapshot of",
};

export function phaseOf(guest: { state: GuestState; pausedFor: string | null }): GuestPhase {
  return guest.state === "running" && guest.pausedFor !== null ? "paused" : guest.state;
}

/** Whether `action` may be taken in `phase`. */
export function isAllowed(action: GuestAction, phase: GuestPhase): boolean {
  return (GUEST_ACTIONS[action] as readonly GuestPhase[]).includes(phase);
}

/** Why `action` cannot be taken in `phase`, for a person; null where it can. */
export function whyNot(action: GuestAction, phase: GuestPhase): string | null {
  if (isAllowed(action, phase)) return null;
  const phases = GUEST_ACTIONS[action].join(" or ");
  return `Cannot ${VERBS[action] ?? action} a guest that is ${phase}: it must be ${phases}`;
}

/** A guest as far as its devices' actions depend on it. */
interface Holder {
  state: GuestState;
  pausedFor: string | null;
  /** Null for a guest that is not up. */
  freePorts: number | null;
}

interface Device {
  attached: "boot" | "port" | "leaving" | null;
}

/** Why a device cannot be plugged into its guest now; null where it can. */
export function whyNotPlug(guest: Holder, device: Device): string | null {
  if (device.attached !== null) return "Cannot plug it in: the guest has it already";
  return whyNot("plug", phaseOf(guest)) ??
    (guest.freePorts === 0 ? "Cannot plug it in: no hot-plug port of the guest is free" : null);
}

/** Why a device cannot be unplugged from its guest now; null where it can. */
export function whyNotUnplug(guest: Holder, device: Device): string | null {
  switch (device.attached) {
    case null:
      return "Cannot unplug it: no running guest has it";
    case "boot":
      return "Cannot unplug it: it was there when the guest started, and stays until it stops";
    default:
      return whyNot("unplug", phaseOf(guest));
  }
}

/** Why a device cannot be deleted now; null where it can. */
export function whyNotRemove(device: Device): string | null {
  if (device.attached === null) return null;
  return device.attached === "boot"
    ? "Cannot delete it: the running guest uses it until it stops"
    : "Cannot delete it: the running guest uses it. Unplug it first";
}
