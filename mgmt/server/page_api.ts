/**
 * The API as pages use it while they are rendered: with the cookie of the browser that asked.
 *
 * @module
 */
import { ApiClient } from "../../hypervisor/supervisor/api/client.ts";
import type { Upstream } from "../gate/upstream.ts";
import { requestHeaders } from "../gate/upstream.ts";

let upstream: Upstream | null = null;

/** Called once by the process before it serves. */
export function setUpstream(value: Upstream): void {
  upstream = value;
}

export function apiFor(request: Request, info: Deno.ServeHandlerInfo): ApiClient {
  const way = upstream;
  if (!way) throw new Error("Cannot reach the API: setUpstream() was not called");
  const { remoteAddr } = info;
  const remote = remoteAddr.transport === "tcp" ? remoteAddr.hostname : "unknown";
  const headers = requestHeaders(request, { remote });
  // Only who asks, not what: the answer must be the whole of it, as JSON.
  const kept = ["cookie", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
  for (const name of [...headers.keys()]) if (!kept.includes(name)) headers.delete(name);
  return new ApiClient({
    fetch: (input, init) => {
      const { pathname, search } = new URL(String(input), "http://localhost");
      return way.fetch(pathname + search, { ...init, body: init?.body ?? null });
    },
    headers: () => headers,
  });
}
