/**
 * What the supervisor can have process 1 do with disks.
 *
 * @module
 */
import {
  DiskTarget,
  RemoveMember,
  StorageSettings,
} from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { type Actions, readBody } from "../host_socket.ts";
import { type HostStorage, StorageRefusal } from "./host_storage.ts";

/** The requests on the host's socket. */
export function storageActions(storage: HostStorage): Actions {
  const as = { what: "the request", Refusal: StorageRefusal };
  return {
    "GET /storage": () => storage.tell(),
    "PATCH /storage": async (request) =>
      await storage.setSchedule((await readBody(request, StorageSettings, as)).scrub),
    "POST /storage/mirror": async (request) =>
      await storage.mirror(await readBody(request, DiskTarget, as)),
    "POST /storage/unmirror": async (request) =>
      await storage.unmirror(await readBody(request, RemoveMember, as)),
    "POST /storage/scrub": () => storage.scrub(true),
    "DELETE /storage/scrub": () => storage.scrub(false),
    "POST /storage/install": async (request) =>
      await storage.install(await readBody(request, DiskTarget, as)),
    "DELETE /storage/install": () => storage.cancelInstall(),
  };
}
