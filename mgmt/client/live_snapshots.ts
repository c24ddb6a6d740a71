import { type Signal, signal } from "@preact/signals";
import type { SnapshotTree } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

/** By guest. */
const trees: Signal<ReadonlyMap<string, SnapshotTree>> = signal(new Map());

export function takeSnapshots(tree: SnapshotTree): void {
  trees.value = new Map(trees.peek()).set(tree.guest, tree);
}

/** A guest's snapshots: the page's own at first, and then what the stream tells. */
export function useSnapshots(seed: SnapshotTree): SnapshotTree {
  const isHydrated = useHydrated();
  const id = seed.guest;
  useOnceLive(id, async () => {
    const before = trees.peek().get(id);
    const tree = await call("listSnapshots", { params: { id } });
    // What the stream told meanwhile is newer, or the same.
    if (trees.peek().get(id) === before) takeSnapshots(tree);
  });
  return (isHydrated ? trees.value.get(id) : undefined) ?? seed;
}
