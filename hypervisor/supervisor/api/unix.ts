/**
 * The API over a unix socket, from Deno.
 *
 * @module
 */
import { ApiClient, pathOf } from "./client.ts";
import type { Operation, ParamsOf } from "./routes.ts";

/** A client of the API on a unix socket. */
export interface UnixApi extends Disposable {
  client: ApiClient;
  fetch: typeof fetch;
  /** Opens a WebSocket of the API. */
  connect<O extends Operation>(operation: O, params: ParamsOf<O>): WebSocket;
}

/** Speaks to the API on the socket at `path`; `headers` go with every request. */
export function unixApi(
  path: string,
  options: { headers?: () => Record<string, string> } = {},
): UnixApi {
  const http = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  // The browser's types, which this project uses too, do not know Deno's option `client`.
  const unixFetch: typeof fetch = (input, init) => {
    const options = { ...init, client: http };
    return fetch(input, options);
  };
  return {
    client: new ApiClient({
      fetch: unixFetch,
      origin: "http://localhost",
      headers: options.headers,
    }),
    fetch: unixFetch,
    connect(operation, params) {
      const init = { client: http, headers: options.headers?.() };
      const socket = new WebSocket(
        `ws://localhost${pathOf(operation, params)}`,
        init as unknown as string[],
      );
      socket.binaryType = "arraybuffer";
      return socket;
    },
    [Symbol.dispose]: () => http.close(),
  };
}
