/**
 * What the operations on other hosts do.
 *
 * @module
 */
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

type PeerOperation = "listPeers" | "offerPairing" | "addPeer" | "deletePeer" | "moveGuest";

export function createPeerHandlers(supervisor: Supervisor): Pick<Handlers, PeerOperation> {
  const { peers, moves } = supervisor;
  return {
    listPeers: () => peers.list(),
    offerPairing: () => peers.offer(),
    addPeer: ({ body }) => peers.add(body),
    deletePeer: ({ params }) => peers.delete(params.id),
    moveGuest: ({ params, body }) => moves.begin(params.id, body),
  };
}
