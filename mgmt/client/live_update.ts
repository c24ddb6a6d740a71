/**
 * The host's systems and updates, as the event stream tells them.
 *
 * @module
 */
import { type Signal, signal } from "@preact/signals";
import type { HostUpdateView } from "../../hypervisor/supervisor/api/schemas.ts";
import { call } from "./api.ts";
import { useHydrated } from "./hydrated.ts";
import { useOnceLive } from "./once_live.ts";

const update: Signal<HostUpdateView | null> = signal(null);

export function takeUpdate(told: HostUpdateView): void {
  update.value = told;
}

/** Takes an answer, unless the stream has told something meanwhile: that is newer, or the same. */
export async function takeAnswer(asked: Promise<HostUpdateView>): Promise<void> {
  const before = update.peek();
  const told = await asked;
  if (update.peek() === before) takeUpdate(told);
}

/** How it is: the page's own at first, then what the stream tells. */
export function useUpdate(seed: HostUpdateView): HostUpdateView {
  const isHydrated = useHydrated();
  useOnceLive("update", () => takeAnswer(call("getUpdate", {})));
  return (isHydrated ? update.value : null) ?? seed;
}
