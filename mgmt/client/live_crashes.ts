import { type Signal, signal } from "@preact/signals";
import type { Crash } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

/** Null until somebody has told. */
const crashes: Signal<Crash[] | null> = signal(null);

export function takeCrashes(list: Crash[]): void {
  crashes.value = list;
}

/** What crashed on the host, the newest first: the page's own at first, then what the stream tells. */
export function useCrashes(seed: Crash[]): Crash[] {
  const isHydrated = useHydrated();
  useOnceLive("crashes", async () => {
    const before = crashes.peek();
    const list = await call("listCrashes", {});
    // What the stream told meanwhile is newer, or the same.
    if (crashes.peek() === before) takeCrashes(list);
  });
  return (isHydrated ? crashes.value : null) ?? seed;
}
