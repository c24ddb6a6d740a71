/**
 * What process 1 answers on its socket of the disks: the supervisor shows and changes them so.
 *
 * @module
 */
import type * as z from "zod";
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import {
  DiskTarget,
  type HostStorage as Told,
  RemoveMember,
  StorageSettings,
} from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { failed, type HostRoutes } from "../host_socket.ts";
import { type HostStorage, StorageRefusal } from "./host_storage.ts";

const MOST_BYTES = 16 * 1024;

/** The routes that show and change the storage. */
export function storageRoutes(storage: HostStorage): HostRoutes {
  const answer = (act: (request: Request) => Promise<Told>) => async (request: Request) => {
    try {
      return Response.json(await act(request));
    } catch (error) {
      if (error instanceof StorageRefusal) return failed(422, error.message);
      throw error;
    }
  };
  return {
    "GET /storage": answer(() => storage.tell()),
    "PATCH /storage": answer(async (request) =>
      await storage.setSchedule((await readBody(request, StorageSettings)).scrub)
    ),
    "POST /storage/mirror": answer(async (request) =>
      await storage.mirror(await readBody(request, DiskTarget))
    ),
    "POST /storage/unmirror": answer(async (request) =>
      await storage.unmirror(await readBody(request, RemoveMember))
    ),
    "POST /storage/scrub": answer(() => storage.scrub(true)),
    "DELETE /storage/scrub": answer(() => storage.scrub(false)),
    "POST /storage/install": answer(async (request) =>
      await storage.install(await readBody(request, DiskTarget))
    ),
    "DELETE /storage/install": answer(() => storage.cancelInstall()),
  };
}

async function readBody<T extends z.ZodType>(request: Request, schema: T): Promise<z.output<T>> {
  if (Number(request.headers.get("content-length") ?? Infinity) > MOST_BYTES) {
    throw new StorageRefusal(`Cannot read the request: it has over ${MOST_BYTES} bytes`);
  }
  let value: unknown;
  try {
    value = await request.json();
  } catch {
    throw new StorageRefusal("Cannot read the request: it is not JSON");
  }
  const result = schema.safeParse(value, { error: explainIssue });
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new StorageRefusal(`Cannot read the request: ${path.map(String).join(".")} ${message}`);
}
