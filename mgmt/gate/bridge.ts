/**
 * Joins a browser's WebSocket to one of the supervisor.
 *
 * @module
 */
import { unreachable } from "./forward.ts";
import { LIMITS, type Quota } from "./limits.ts";
import { problem } from "./problem.ts";
import { requestHeaders, responseHeaders, type Upstream } from "./upstream.ts";

export interface BridgeOptions {
  upstream: Upstream;
  remote: string;
  sockets: Quota;
}

const TOO_SLOW = 1013;

/**
 * Opens the supervisor's side first, so that its refusal can be the answer; only then the browser's.
 */
export async function bridge(request: Request, options: BridgeOptions): Promise<Response> {
  const release = options.sockets.take(options.remote);
  if (!release) {
    return problem(503, "too_many_terminals", "Cannot open another terminal: close some first");
  }
  const { pathname, search } = new URL(request.url);
  const headers = requestHeaders(request, options);
  const above = options.upstream.webSocket(pathname + search, headers);
  above.binaryType = "arraybuffer";
  // What comes before the browser's side is open.
  const early: (string | ArrayBuffer)[] = [];
  above.onmessage = ({ data }) => early.push(data);
  const isOpen = await new Promise<boolean>((resolve) => {
    above.onopen = () => resolve(true);
    above.onerror = () => resolve(false);
    above.onclose = () => resolve(false);
  });
  if (!isOpen) {
    release();
    return await refusal(pathname + search, { headers, upstream: options.upstream });
  }
  const { socket: below, response } = Deno.upgradeWebSocket(request);
  below.binaryType = "arraybuffer";
  const send = (to: WebSocket, data: string | ArrayBuffer) => {
    if (to.readyState !== WebSocket.OPEN) return;
    if (to.bufferedAmount > LIMITS.webSocketBacklog) {
      close(below, { code: TOO_SLOW, reason: "too slow" });
      close(above, { code: 1000, reason: "" });
      return;
    }
    to.send(data);
  };
  below.onopen = () => {
    for (const data of early.splice(0)) send(below, data);
    above.onmessage = ({ data }) => send(below, data);
    if (above.readyState > WebSocket.OPEN) close(below, { code: 1001, reason: "" });
  };
  below.onmessage = ({ data }) => send(above, data);
  above.onclose = (event) => close(below, event);
  below.onclose = (event) => {
    release();
    close(above, event);
  };
  // A close follows.
  above.onerror = () => {};
  below.onerror = () => {};
  return response;
}

/** Asks once more without the upgrade, since a failed WebSocket does not tell why. */
async function refusal(
  path: string,
  { headers, upstream }: { headers: Headers; upstream: Upstream },
): Promise<Response> {
  try {
    const response = await upstream.fetch(path, { headers });
    if (response.status < 400) {
      await response.body?.cancel();
      return unreachable();
    }
    return new Response(response.body, {
      status: response.status,
      headers: responseHeaders(response),
    });
  } catch {
    return unreachable();
  }
}

/** Passes a close on; codes that only the protocol itself may use become one that may be sent. */
function close(socket: WebSocket, { code, reason }: { code: number; reason: string }): void {
  if (socket.readyState > WebSocket.OPEN) return;
  const mayBeSent = code === 1000 || (code >= 3000 && code <= 4999);
  try {
    socket.close(mayBeSent ? code : code === TOO_SLOW ? 4013 : 4000, reason.slice(0, 100));
  } catch {
    // Not open yet: it ends with the process's other side.
  }
}
