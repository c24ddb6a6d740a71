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

export const GUEST_ACTIONS = {
  start: ["stopped", "failed"],
  stop: ["running", "stopping"],
  reset: ["running", "stopping"],
  update: ["stopped", "failed"],
  delete: ["stopped", "failed"],
  console: ["starting", "running", "stopping"],
} as const satisfies Record<string, readonly GuestState[]>;

export type GuestAction = keyof typeof GUEST_ACTIONS;

/** Whether `action` may be taken in `state`. */
export function isAllowed(action: GuestAction, state: GuestState): boolean {
  return (GUEST_ACTIONS[action] as readonly GuestState[]).includes(state);
}

/** Why `action` cannot be taken in `state`, for a person; null where it can. */
export function whyNot(action: GuestAction, state: GuestState): string | null {
  if (isAllowed(action, state)) return null;
  const states = GUEST_ACTIONS[action].join(" or ");
  return `Cannot ${action} a guest that is ${state}: it must be ${states}`;
}
