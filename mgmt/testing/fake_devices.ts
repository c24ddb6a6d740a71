/**
 * What changes of a made-up guest's disks and network cards make of it.
 *
 * @module
 */
import { whyNotPlug, whyNotRemove, whyNotUnplug } from "../../hypervisor/supervisor/api/actions.ts";
import {
  DiskCreate,
  DiskUpdate,
  freeDiskName,
  type Guest,
  NetCreate,
  NetUpdate,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { newDisk, newNet } from "./fake_data.ts";

export interface DeviceChange {
  kind: "disks" | "nets";
  /** Undefined for a new one. */
  device?: string;
  /** The request's method, or "plug" or "unplug". */
  what: string;
  body: unknown;
}

/** Who refuses says why. */
export class FakeRefusal extends Error {}

/** The guest as it is after the change; throws a {@linkcode FakeRefusal}. */
export function changeDevices(guest: Guest, change: DeviceChange): Guest {
  const { kind, device, what, body } = change;
  if (device === undefined) {
    return kind === "disks"
      ? { ...guest, disks: [...guest.disks, addedDisk(guest, body)] }
      : { ...guest, nets: [...guest.nets, newNet(NetCreate.parse(body))] };
  }
  const found = [...guest.disks, ...guest.nets].find(({ id }) => id === device);
  if (!found) throw new FakeRefusal(`Cannot find a device with the id "${device}"`);
  const refuse = (reason: string | null) => {
    if (reason !== null) throw new FakeRefusal(reason);
  };
  const put = (part: object | null, ports = 0): Guest => ({
    ...guest,
    [kind]: guest[kind].flatMap((it) =>
      it.id !== device ? [it] : part === null ? [] : [{ ...it, ...part }]
    ),
    freePorts: guest.freePorts === null ? null : guest.freePorts + ports,
  });
  switch (what) {
    case "PATCH":
      return put((kind === "disks" ? DiskUpdate : NetUpdate).parse(body));
    case "DELETE":
      refuse(whyNotRemove(found));
      return put(null);
    case "plug":
      refuse(whyNotPlug(guest, found));
      return put({ attached: "port" }, -1);
    case "unplug":
      refuse(whyNotUnplug(guest, found));
      return put({ attached: null }, 1);
  }
  throw new FakeRefusal(`Cannot ${what} a device`);
}

function addedDisk(guest: Guest, body: unknown) {
  const wish = DiskCreate.parse(body);
  return newDisk({ ...wish, name: wish.name ?? freeDiskName(guest.disks) });
}
