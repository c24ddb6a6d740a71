/**
 * What changing a guest's devices stands on.
 *
 * @module
 */
import type { Guest } from "../api/schemas.ts";
import type { Images } from "../images/images.ts";
import { messageOf } from "../log.ts";
import { type ApiProblem, problem } from "../problem.ts";
import type { GuestRecord, GuestStore } from "../store/guests.ts";
import { VmmRefusal } from "./control_client.ts";
import type { GuestDisks } from "./disks.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Launcher } from "./launcher.ts";
import type { RunDevice } from "./run.ts";
import type { VmmProcess } from "./vmm_process.ts";

export interface DeviceGround {
  images: Images;
  disks: GuestDisks;
  launcher: Launcher;
  store: GuestStore;
  life(id: string): GuestLife;
  /** Runs `act` when no other change of the guest is under way. */
  inTurn<T>(id: string, act: (life: GuestLife) => T | Promise<T>): Promise<T>;
  /** Keeps what a guest is to be from now on, and tells everybody. */
  keep(life: GuestLife, record: GuestRecord): Guest;
}

/** The one of a guest's devices that has the id. */
export function deviceOf<T extends { id: string }>(devices: readonly T[], id: string): T {
  const found = devices.find((it) => it.id === id);
  if (found === undefined) throw problem("not_found", `Cannot find a device with the id "${id}"`);
  return found;
}

/** `list` with `next` in the place of the one that has its id. */
export function replaced<T extends { id: string }>(list: readonly T[], next: T): T[] {
  return list.map((it) => it.id === next.id ? next : it);
}

/** Throws where there is a reason. */
export function refuseFor(
  reason: string | null,
  code: "wrong_state" | "device_in_use" | "disk_in_use" = "wrong_state",
): void {
  if (reason !== null) throw problem(code, reason);
}

/** What a VMM answered instead of doing as it was told. */
export function vmmProblem(error: unknown, guest: string): ApiProblem {
  return error instanceof VmmRefusal
    ? problem("device_refused", error.message)
    : problem("busy", `Cannot reach the VMM of "${guest}": ${messageOf(error)}`);
}

/** Puts a device into a port of the running guest, as `insert` tells the VMM to. */
export async function plugIn(
  life: GuestLife,
  device: RunDevice,
  insert: (process: VmmProcess) => Promise<string>,
): Promise<void> {
  const process = life.process!;
  const { run } = process;
  // First, so that nobody who comes after a crash takes it for a device of nobody.
  const expected = run.nextName(device.kind);
  run.plugged(expected, device);
  try {
    const name = await insert(process);
    if (name !== expected) run.gone(expected);
    run.plugged(name, device);
  } catch (error) {
    run.gone(expected);
    throw vmmProblem(error, life.record.name);
  }
}

/** Asks the guest to let go of a device, or takes it out; its VMM tells when it is gone. */
export async function takeOut(
  life: GuestLife,
  id: string,
  options: { force: boolean },
): Promise<Guest> {
  const { run } = life.process!;
  const { name } = run.find(id)!;
  // First, as the guest may be done before the answer is here.
  run.setLeaving(name, true);
  try {
    await life.process!.unplug(name, options);
  } catch (error) {
    run.setLeaving(name, false);
    throw vmmProblem(error, life.record.name);
  }
  return life.tell();
}
