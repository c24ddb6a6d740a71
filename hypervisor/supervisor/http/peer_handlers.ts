/**
 * What the operations on other hosts do.
 *
 * @module
 */
import type { Supervisor } from "../supervisor.ts";
import type { Handlers } from "./handlers.ts";

type PeerOperation =
  | "listPeers"
  | "offerPairing"
  | "addPeer"
  | "deletePeer"
  | "moveGuest"
  | "listMoves"
  | "resolveMove";

export function createPeerHandlers(supervisor: Supervisor): Pick<Handlers, PeerOperation> {
  return {
    listPeers: () => supervisor.peers.list(),
    offerPairing: () => supervisor.peers.offer(),
    addPeer: ({ body }) => supervisor.peers.add(body),
    deletePeer: ({ params }) => supervisor.peers.delete(params.id),
    moveGuest: ({ params, body }) => supervisor.moves.begin(params.id, body),
    listMoves: () => supervisor.moves.list(),
    resolveMove: ({ params, body }) => supervisor.moves.resolve(params.id, body),
  };
}
