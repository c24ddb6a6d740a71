/**
 * The socket by which the supervisor has process 1 show and change what is the host's own.
 *
 * @module
 */
import type * as z from "zod";
import { explainIssue } from "../hypervisor/supervisor/api/field_errors.ts";

const MOST_BYTES = 64 * 1024;

/** What can be asked for, by "METHOD /path"; the answer is sent as JSON. */
export type Actions = Record<string, (request: Request) => unknown>;

/** Errors of these names are for whoever asked; all others are ours. */
const REFUSALS = new Set(["NetworkRefusal", "StorageRefusal"]);

/** Serves `actions`, which may still be filled, on a socket that root alone can open. */
export function serveHost(actions: Actions, path: string): Deno.HttpServer<Deno.UnixAddr> {
  const server = Deno.serve({ path, onListen: () => {} }, (request) => answer(actions, request));
  Deno.chmodSync(path, 0o600);
  return server;
}

async function answer(actions: Actions, request: Request): Promise<Response> {
  const wanted = `${request.method} ${new URL(request.url).pathname}`;
  const fail = (status: number, message: string) => Response.json({ message }, { status });
  if (!Object.hasOwn(actions, wanted)) return fail(404, `Cannot ${wanted}: there is no such thing`);
  try {
    return Response.json(await actions[wanted](request));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return fail(error instanceof Error && REFUSALS.has(error.name) ? 422 : 500, message);
  }
}

/** Reads a request's body by its schema. */
export async function readBody<T extends z.ZodType>(
  request: Request,
  schema: T,
  { what, Refusal }: { what: string; Refusal: new (message: string) => Error },
): Promise<z.output<T>> {
  if (Number(request.headers.get("content-length") ?? Infinity) > MOST_BYTES) {
    throw new Refusal(`Cannot read ${what}: it has over ${MOST_BYTES} bytes`);
  }
  let value: unknown;
  try {
    value = await request.json();
  } catch {
    throw new Refusal(`Cannot read ${what}: it is not JSON`);
  }
  const result = schema.safeParse(value, { error: explainIssue });
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new Refusal(`Cannot read ${what}: ${path.map(String).join(".")} ${message}`);
}
