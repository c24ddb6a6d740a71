/**
 * The host's disks and its pool, as the event stream tells them.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { HostStorage } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

/** Null until somebody has told, and on a host whose disks are not ours. */
const storage: Signal<HostStorage | null> = signal(null);

export function takeStorage(told: HostStorage): void {
  storage.value = told;
}

/** What somebody has to see to, for what is on every page. */
export function useAlarms(): string[] {
  const isHydrated = useHydrated();
  return (isHydrated ? storage.value?.alarms : undefined) ?? [];
}

/** What there is: the page's own at first, then what the stream tells. */
export function useStorage(seed: HostStorage): HostStorage {
  const isHydrated = useHydrated();
  useOnceLive("storage", async () => {
    const before = storage.peek();
    const told = await call("getStorage", {});
    // What the stream told meanwhile is newer, or the same.
    if (storage.peek() === before) takeStorage(told);
  });
  return (isHydrated ? storage.value : null) ?? seed;
}
