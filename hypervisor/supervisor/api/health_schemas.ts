/**
 * How the supervisor does, for process 1: it shows that on the host's screen, and by the answer it
 * knows that there is one.
 *
 * @module
 */
import * as z from "zod";
import { GUEST_STATES } from "./actions.ts";
import { GuestName } from "./names.ts";

/** No screen shows more guests. */
export const MOST_SHOWN_GUESTS = 64;

export const Health = z.strictObject({
  /** What `getHost` says of itself, too. */
  diskMiB: z.int(),
  diskFreeMiB: z.int(),
  /** How many guests there are, in each state that some are in. */
  guests: z.partialRecord(z.enum(GUEST_STATES), z.int()),
  /** Whether all runs, or has failed for good, that is to be back once the host has started. */
  guestsBack: z.boolean(),
  /** The first of them: what is up and what failed before what is stopped. */
  shown: z.array(z.strictObject({ name: GuestName, state: z.enum(GUEST_STATES) })),
});

export type Health = z.output<typeof Health>;
