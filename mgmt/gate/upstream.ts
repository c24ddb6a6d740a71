/**
 * The way to the supervisor's API: HTTP over its unix socket. The console adds nothing of its own but
 * where a request came from; who may do what is the supervisor's to say.
 *
 * @module
 */

export interface Upstream extends Disposable {
  fetch(path: string, init?: RequestInit & { duplex?: "half" }): Promise<Response>;
  webSocket(path: string, headers: Headers): WebSocket;
}

export function connectUpstream(socketPath: string): Upstream {
  const client = Deno.createHttpClient({
    proxy: { transport: "unix", path: socketPath },
    poolIdleTimeout: 30_000,
  });
  return {
    // The browser's types, which this project uses too, do not know Deno's option `client`.
    fetch: (path, init) =>
      fetch(`http://localhost${path}`, { redirect: "manual", ...init, client } as RequestInit),
    webSocket: (path, headers) =>
      new WebSocket(
        `ws://localhost${path}`,
        { client, headers: Object.fromEntries(headers) } as unknown as string[],
      ),
    [Symbol.dispose]: () => client.close(),
  };
}

/** Meant for one connection, so never passed on; and what only this process may tell. */
const NOT_PASSED_ON = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "host",
  "accept-encoding",
];

/** A browser's headers as the supervisor gets them. */
export function requestHeaders(
  request: Request,
  { remote }: { remote: string },
): Headers {
  const headers = new Headers(request.headers);
  for (const name of (headers.get("connection") ?? "").split(",")) {
    if (/^[\w-]+$/.test(name.trim())) headers.delete(name.trim());
  }
  for (const name of NOT_PASSED_ON) headers.delete(name);
  for (const name of [...headers.keys()]) {
    if (name.startsWith("sec-websocket-")) headers.delete(name);
  }
  // A body that is passed on in pieces has no declared length.
  headers.delete("content-length");
  headers.set("x-forwarded-for", remote);
  headers.set("x-forwarded-proto", "https");
  headers.set("x-forwarded-host", hostOf(request));
  return headers;
}

/** The host and port that the browser asked for. */
export function hostOf(request: Request): string {
  return request.headers.get("host") ?? new URL(request.url).host;
}

/** The supervisor's headers as the browser gets them. */
export function responseHeaders(response: Response): Headers {
  const headers = new Headers(response.headers);
  for (const name of NOT_PASSED_ON) headers.delete(name);
  // Deno's server would compress a stream, and so hold its events back.
  if (headers.get("content-type")?.startsWith("text/event-stream")) {
    headers.set("cache-control", "no-store, no-transform");
  }
  return headers;
}
