/**
 * Operations that have guests go on in another VMM.
 *
 * @module
 */
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

export function upgradeHandlers(
  { guests }: Pick<Supervisor, "guests">,
): Pick<Handlers, "upgradeGuest"> {
  return { upgradeGuest: ({ params }) => guests.upgrades.begin(params.id) };
}
