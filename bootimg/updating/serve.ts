/**
 * What process 1 answers on its socket of updates.
 *
 * @module
 */
import {
  type HostUpdate,
  MOST_SIGNATURE_BYTES,
  MOST_SYSTEM_BYTES,
} from "../../hypervisor/supervisor/api/host_update.ts";
import { failed, type HostRoutes } from "../host_socket.ts";
import type { HostUpdates } from "./host_updates.ts";
import { UpdateRefusal } from "./refusal.ts";

/** The routes that show and change the systems. */
export function updateRoutes(updates: HostUpdates): HostRoutes {
  const answer = (act: (request: Request) => Promise<HostUpdate>) => async (request: Request) => {
    try {
      return Response.json(await act(request));
    } catch (error) {
      if (error instanceof UpdateRefusal) return failed(error.status, error.message);
      throw error;
    }
  };
  return {
    "GET /update": answer(() => updates.tell()),
    "PUT /update": answer((request) => {
      const signature = signatureOf(request);
      return updates.take({ body: bodyOf(request), bytes: lengthOf(request) }, signature);
    }),
    "DELETE /update/job": answer(() => updates.cancel()),
    "DELETE /update/ready": answer(() => updates.takeBack()),
    "POST /update/undo": answer(() => updates.undo()),
  };
}

/** The text of the signature's file; null where none was given. */
export function signatureOf({ url }: Request): string | null {
  const given = new URL(url).searchParams.get("signature");
  if (given === null || given === "") return null;
  const bad = (why: string) => new UpdateRefusal(400, `Cannot read the signature: ${why}`);
  if (given.length > Math.ceil(MOST_SIGNATURE_BYTES / 3) * 4) {
    throw bad(`it has over ${MOST_SIGNATURE_BYTES} bytes`);
  }
  try {
    const bytes = Uint8Array.fromBase64(given, { alphabet: "base64url" });
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw bad("it is not the base64url of a text");
  }
}

function lengthOf({ headers }: Request): number {
  const given = headers.get("content-length");
  if (given === null) throw new UpdateRefusal(411, "Cannot take the update: its size is not told");
  const bytes = /^\d{1,12}$/.test(given) ? Number(given) : 0;
  if (bytes === 0) throw new UpdateRefusal(400, "Cannot take the update: it has no bytes");
  if (bytes > MOST_SYSTEM_BYTES) {
    throw new UpdateRefusal(
      413,
      `Cannot take the update: it has ${bytes} bytes, and a system at most ${MOST_SYSTEM_BYTES}`,
    );
  }
  return bytes;
}

function bodyOf({ body }: Request): ReadableStream<Uint8Array> {
  if (body === null) throw new UpdateRefusal(400, "Cannot take the update: it has no bytes");
  return body;
}
