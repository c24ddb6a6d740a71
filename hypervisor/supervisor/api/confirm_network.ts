/**
 * Keeping the host's network that is tried, for the command line and the console.
 *
 * @module
 */
import type { ApiError } from "./client.ts";
import type { HostNetwork } from "./network_schemas.ts";

type Call = (
  operation: "confirmNetwork" | "getNetwork",
  input: Record<never, never>,
) => Promise<HostNetwork>;

export interface ConfirmOptions {
  /** How long the network may take to be in force. */
  waitMs?: number;
  pauseMs?: number;
}

/** Bonds and new cables take some seconds. */
const WAIT_MS = 10_000;
const PAUSE_MS = 500;

/**
 * Keeps the network that is tried. Until it is in force the host refuses that, so it is asked again
 * for a while. Each time anew: only a request that came by the new network tells that it is good.
 */
export async function confirmNetwork(
  call: Call,
  { waitMs = WAIT_MS, pauseMs = PAUSE_MS }: ConfirmOptions = {},
): Promise<HostNetwork> {
  const end = performance.now() + waitMs;
  while (true) {
    try {
      return await call("confirmNetwork", {});
    } catch (error) {
      if (performance.now() >= end || !isRefusal(error)) throw error;
      const { trial } = await call("getNetwork", {});
      if (trial === null) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Without the class itself, which the console loads later. */
function isRefusal(error: unknown): boolean {
  return (error as Partial<ApiError> | null)?.problem?.code === "network_refused";
}
