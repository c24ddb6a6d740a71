/**
 * The socket by which the supervisor has process 1 show and change the network.
 *
 * @module
 */
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import {
  type HostNetwork as Told,
  Network,
} from "../../hypervisor/supervisor/api/network_schemas.ts";
import { type HostNetwork, NetworkRefusal } from "./host_network.ts";

const MOST_BYTES = 64 * 1024;

/** Serves it on a socket that root alone can open. */
export function serveNetwork(
  network: HostNetwork,
  path: string,
): Deno.HttpServer<Deno.UnixAddr> {
  const server = Deno.serve({ path, onListen: () => {} }, (request) => answer(network, request));
  Deno.chmodSync(path, 0o600);
  return server;
}

async function answer(network: HostNetwork, request: Request): Promise<Response> {
  const actions: Record<string, () => Told | Promise<Told>> = {
    "GET /network": () => network.tell(),
    "PUT /network": async () => network.try(await readNetwork(request)),
    "POST /network/confirm": () => network.confirm(),
    "POST /network/undo": () => network.undo(),
  };
  const wanted = `${request.method} ${new URL(request.url).pathname}`;
  const fail = (status: number, message: string) => Response.json({ message }, { status });
  if (!Object.hasOwn(actions, wanted)) return fail(404, `Cannot ${wanted}: there is no such thing`);
  try {
    return Response.json(await actions[wanted]());
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return fail(error instanceof NetworkRefusal ? 422 : 500, message);
  }
}

async function readNetwork(request: Request): Promise<Network> {
  if (Number(request.headers.get("content-length") ?? Infinity) > MOST_BYTES) {
    throw new NetworkRefusal(`Cannot read the network: it has over ${MOST_BYTES} bytes`);
  }
  let value: unknown;
  try {
    value = await request.json();
  } catch {
    throw new NetworkRefusal("Cannot read the network: it is not JSON");
  }
  const result = Network.safeParse(value, { error: explainIssue });
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new NetworkRefusal(`Cannot read the network: ${path.map(String).join(".")} ${message}`);
}
