/**
 * What the supervisor can have process 1 do with the network.
 *
 * @module
 */
import { Network } from "../../hypervisor/supervisor/api/network_schemas.ts";
import { type Actions, readBody } from "../host_socket.ts";
import { type HostNetwork, NetworkRefusal } from "./host_network.ts";

/** The requests on the host's socket. */
export function networkActions(network: HostNetwork): Actions {
  return {
    "GET /network": () => network.tell(),
    "PUT /network": async (request) =>
      network.try(
        await readBody(request, Network, { what: "the network", Refusal: NetworkRefusal }),
      ),
    "POST /network/confirm": () => network.confirm(),
    "POST /network/undo": () => network.undo(),
  };
}
