/**
 * The routes to guests' disks and network cards. Each change answers with the guest as it is then.
 *
 * @module
 */
import type { Route } from "./route.ts";
import { DiskCreate, DiskUpdate, Guest, Id, NetCreate, NetUpdate, Unplug } from "./schemas.ts";

const guest = { id: Id };
const disk = { id: Id, disk: Id };
const net = { id: Id, net: Id };

export const DEVICE_ROUTES = {
  addDisk: {
    method: "POST",
    path: "/guests/:id/disks",
    summary: "Give a guest another disk; one that runs has it once it is plugged in, or restarted",
    access: "session",
    params: guest,
    body: DiskCreate,
    status: 201,
    answer: Guest,
    problems: [
      ...[
        "name_taken",
        "no_such_image",
        "disk_too_small",
        "disk_full",
        "too_many_devices",
      ] as const,
      ...["no_such_store", "store_unavailable"] as const,
    ],
  },
  updateDisk: {
    method: "PATCH",
    path: "/guests/:id/disks/:disk",
    summary: "Change a disk: size and rate limit at once, the rest when the guest starts next",
    access: "session",
    params: disk,
    body: DiskUpdate,
    status: 200,
    answer: Guest,
    problems: [
      ...["wrong_state", "name_taken", "disk_too_small", "device_refused"] as const,
      "store_unavailable",
    ],
  },
  deleteDisk: {
    method: "DELETE",
    path: "/guests/:id/disks/:disk",
    summary: "Delete a disk that no running guest uses, with all that is on it",
    access: "session",
    params: disk,
    status: 200,
    answer: Guest,
    problems: ["disk_in_use"],
  },
  plugDisk: {
    method: "POST",
    path: "/guests/:id/disks/:disk/plug",
    summary: "Put a disk into a free hot-plug port of its running guest",
    access: "session",
    params: disk,
    status: 200,
    answer: Guest,
    problems: ["wrong_state", "bad_disk", "device_refused", "store_unavailable"],
  },
  unplugDisk: {
    method: "POST",
    path: "/guests/:id/disks/:disk/unplug",
    summary:
      "Ask the running guest to let go of a disk; an event tells when it has. Or pull it out",
    access: "session",
    params: disk,
    body: Unplug,
    bodyOptional: true,
    status: 202,
    answer: Guest,
    problems: ["wrong_state", "device_refused"],
  },
  addNet: {
    method: "POST",
    path: "/guests/:id/nets",
    summary: "Give a guest another network card; one that runs has it once it is plugged in",
    access: "session",
    params: guest,
    body: NetCreate,
    status: 201,
    answer: Guest,
    problems: ["mac_taken", "too_many_devices"],
  },
  updateNet: {
    method: "PATCH",
    path: "/guests/:id/nets/:net",
    summary: "Change a network card: link and limits at once, the rest when the guest starts next",
    access: "session",
    params: net,
    body: NetUpdate,
    status: 200,
    answer: Guest,
    problems: ["wrong_state", "mac_taken", "device_refused"],
  },
  deleteNet: {
    method: "DELETE",
    path: "/guests/:id/nets/:net",
    summary: "Delete a network card that no running guest uses",
    access: "session",
    params: net,
    status: 200,
    answer: Guest,
    problems: ["device_in_use"],
  },
  plugNet: {
    method: "POST",
    path: "/guests/:id/nets/:net/plug",
    summary: "Put a network card into a free hot-plug port of its running guest",
    access: "session",
    params: net,
    status: 200,
    answer: Guest,
    problems: ["wrong_state", "device_refused"],
  },
  unplugNet: {
    method: "POST",
    path: "/guests/:id/nets/:net/unplug",
    summary: "Ask the running guest to let go of a network card; an event tells when it has",
    access: "session",
    params: net,
    body: Unplug,
    bodyOptional: true,
    status: 202,
    answer: Guest,
    problems: ["wrong_state", "device_refused"],
  },
} as const satisfies Record<string, Route>;
