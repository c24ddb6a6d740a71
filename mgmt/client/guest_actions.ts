/**
 * What can be done with a guest, as buttons use it.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import { phaseOf, whyNot } from "../../hypervisor/supervisor/api/actions.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, messageOf } from "./api.ts";
import { dropGuest } from "./live.ts";
import { toast } from "./toasts.ts";

export type Act = "start" | "stop" | "force" | "pause" | "resume" | "reset" | "delete";

/** Actions under way, as "id action". */
const pending: Signal<ReadonlySet<string>> = signal(new Set<string>());

export function isPending(guest: Guest, act: Act): boolean {
  return pending.value.has(`${guest.id} ${act}`);
}

/** Why `act` cannot be done now; null where it can. */
export function reasonAgainst(guest: Guest, act: Act): string | null {
  return whyNot(act, phaseOf(guest));
}

/**
 * Does it and tells how it went; false where it failed. What becomes of the guest is told by its
 * events alone: an answer may come after those of what followed.
 */
export async function perform(guest: Guest, act: Act): Promise<boolean> {
  const key = `${guest.id} ${act}`;
  if (pending.peek().has(key)) return false;
  pending.value = new Set(pending.peek()).add(key);
  const params = { id: guest.id };
  try {
    switch (act) {
      case "start":
        await call("startGuest", { params });
        break;
      case "stop":
        await call("stopGuest", { params, body: { force: false } });
        toast("done", `Pressed the power button of ${guest.name}`);
        break;
      case "force":
        await call("stopGuest", { params, body: { force: true } });
        break;
      case "pause":
        await call("pauseGuest", { params });
        break;
      case "resume":
        await call("resumeGuest", { params });
        break;
      case "reset":
        await call("resetGuest", { params });
        toast("done", `Reset ${guest.name}`);
        break;
      case "delete":
        await call("deleteGuest", { params });
        dropGuest(guest.id);
        toast("done", `Deleted ${guest.name}`);
        break;
    }
    return true;
  } catch (error) {
    toast("problem", messageOf(error));
    return false;
  } finally {
    const next = new Set(pending.peek());
    next.delete(key);
    pending.value = next;
  }
}
