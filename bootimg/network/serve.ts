/**
 * What process 1 answers on its socket of the network: the supervisor shows and changes it so.
 *
 * @module
 */
import { explainIssue } from "../../hypervisor/supervisor/api/field_errors.ts";
import {
  type HostNetwork as Told,
  Network,
} from "../../hypervisor/supervisor/api/network_schemas.ts";
import { failed, type HostRoutes } from "../host_socket.ts";
import { type HostNetwork, NetworkRefusal } from "./host_network.ts";

const MOST_BYTES = 64 * 1024;

/** The routes that show and change a network. */
export function networkRoutes(network: HostNetwork): HostRoutes {
  const answer = (act: (request: Request) => Told | Promise<Told>) => async (request: Request) => {
    try {
      return Response.json(await act(request));
    } catch (error) {
      if (error instanceof NetworkRefusal) return failed(422, error.message);
      throw error;
    }
  };
  return {
    "GET /network": answer(() => network.tell()),
    "PUT /network": answer(async (request) => network.try(await readNetwork(request))),
    "POST /network/confirm": answer(() => network.confirm()),
    "POST /network/undo": answer(() => network.undo()),
  };
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
