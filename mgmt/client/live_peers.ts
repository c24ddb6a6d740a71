import { type Signal, signal } from "@preact/signals";
import type { Peer } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

/** Null until somebody has told. */
const peers: Signal<Peer[] | null> = signal(null);

export function takePeers(list: Peer[]): void {
  peers.value = list;
}

/** Takes over what is known of one of them now. */
export function putPeer(peer: Peer): void {
  peers.value = [...(peers.peek() ?? []).filter(({ id }) => id !== peer.id), peer];
}

export function dropPeer(id: string): void {
  peers.value = (peers.peek() ?? []).filter((it) => it.id !== id);
}

/** Other hosts, by name: the page's own at first, and then what the stream tells. */
export function usePeers(seed: Peer[]): Peer[] {
  const isHydrated = useHydrated();
  useOnceLive("peers", async () => {
    const before = peers.peek();
    const list = await call("listPeers", {});
    // What the stream told meanwhile is newer, or the same.
    if (peers.peek() === before) takePeers(list);
  });
  const all = (isHydrated ? peers.value : null) ?? seed;
  return [...all].sort((a, b) => a.name < b.name ? -1 : 1);
}
