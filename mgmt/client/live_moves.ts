import { type Signal, signal } from "@preact/signals";
import type { UnsettledMove } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

/** Null until somebody has told. */
const moves: Signal<UnsettledMove[] | null> = signal(null);

export function takeMoves(list: UnsettledMove[]): void {
  moves.value = list;
}

/** Moves that are not settled, oldest first: the page's own at first, and then what the stream tells. */
export function useMoves(seed: UnsettledMove[]): UnsettledMove[] {
  const isHydrated = useHydrated();
  useOnceLive("moves", async () => {
    const before = moves.peek();
    const list = await call("listMoves", {});
    // What the stream told meanwhile is newer, or the same.
    if (moves.peek() === before) takeMoves(list);
  });
  return (isHydrated ? moves.value : null) ?? seed;
}
