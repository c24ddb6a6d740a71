/**
 * Versions of what VMMs say to each other, and of a guest's state. A release that raises one understands the one
 * before all the same, so that guests come from hosts, and out of snapshots, of the release before.
 *
 * @module
 */

/**
 * Raised when a receiver of one version could misunderstand a sender of another (migrate/frames.ts). Who
 * receives answers in the version that it was greeted in.
 */
export const PROTOCOL_VERSION = 1;

/** Of a state as it is written (snapshot/format.ts). */
export const FORMAT_VERSION = 1;

/** What a VMM says to the one that its guest is sent to. */
export interface Spoken {
  protocol: number;
  /** Of the state that it sends. */
  format: number;
}

export const SPOKEN: Readonly<Spoken> = { protocol: PROTOCOL_VERSION, format: FORMAT_VERSION };

/** The oldest version that a program understands whose own is `newest`: the one before. */
export function oldestOf(newest: number): number {
  return Math.max(1, newest - 1);
}

/** Whether a program whose own version is `newest` understands this one. */
export function understood(version: unknown, newest: number): version is number {
  return Number.isInteger(version) && (version as number) >= oldestOf(newest) &&
    (version as number) <= newest;
}
