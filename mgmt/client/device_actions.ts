/**
 * What can be done with a guest's disks and network cards, as buttons use it.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { call, messageOf } from "./api.ts";
import { putGuest } from "./live.ts";
import { toast } from "./toasts.ts";

export type Kind = "disk" | "net";
export type DeviceAct = "plug" | "unplug" | "pull" | "delete";

/** Actions under way, as "id action". */
const pending: Signal<ReadonlySet<string>> = signal(new Set<string>());

export function isDevicePending(id: string, act: DeviceAct): boolean {
  return pending.value.has(`${id} ${act}`);
}

const DONE: Record<DeviceAct, (name: string) => string> = {
  plug: (name) => `Plugged in ${name}`,
  unplug: (name) => `Asked the guest to let go of ${name}`,
  pull: (name) => `Pulled out ${name}`,
  delete: (name) => `Deleted ${name}`,
};

/** Does it and tells how it went. */
export async function performDevice(
  guest: Guest,
  device: { kind: Kind; id: string; name: string },
  act: DeviceAct,
): Promise<void> {
  const key = `${device.id} ${act}`;
  if (pending.peek().has(key)) return;
  pending.value = new Set(pending.peek()).add(key);
  try {
    await request(guest, device, act);
    toast("done", DONE[act](device.name));
  } catch (error) {
    toast("problem", messageOf(error));
  } finally {
    const next = new Set(pending.peek());
    next.delete(key);
    pending.value = next;
  }
}

async function request(guest: Guest, { kind, id }: { kind: Kind; id: string }, act: DeviceAct) {
  const params = { id: guest.id, disk: id, net: id };
  const body = { force: act === "pull" };
  const isDisk = kind === "disk";
  switch (act) {
    case "plug":
      return await call(isDisk ? "plugDisk" : "plugNet", { params });
    case "unplug":
    case "pull":
      return await call(isDisk ? "unplugDisk" : "unplugNet", { params, body });
    case "delete":
      return putGuest(await call(isDisk ? "deleteDisk" : "deleteNet", { params }));
  }
}
