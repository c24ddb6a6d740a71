/**
 * What a guest's state does not allow.
 *
 * @module
 */
import { type GuestPhase, whyNot } from "../api/actions.ts";
import { problem } from "../problem.ts";

/** Throws where the table of actions does not allow `action`. */
export function refuse(action: Parameters<typeof whyNot>[0], phase: GuestPhase): void {
  const reason = whyNot(action, phase);
  if (reason !== null) throw problem("wrong_state", reason);
}
