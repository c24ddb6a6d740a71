import { HttpError } from "./error.ts";

export interface WebSocketHandlers {
  open?(socket: WebSocket): void;
  message?(socket: WebSocket, event: MessageEvent): void;
  close?(socket: WebSocket, code: number, reason: string): void;
  error?(socket: WebSocket, event: Event | ErrorEvent): void;
}

export interface WebSocketUpgradeOptions {
  /** Seconds without an answer after which the connection is dropped. */
  idleTimeout?: number;
  protocol?: string;
}

/** With handlers, answers with the response; without, with the socket too. */
export function upgrade(
  req: Request,
  first: WebSocketHandlers | WebSocketUpgradeOptions,
  second: WebSocketUpgradeOptions,
): Response | { socket: WebSocket; response: Response } {
  if (req.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    throw new HttpError(400, "Expected a WebSocket upgrade");
  }
  const handlers = isHandlers(first) ? first : null;
  const { socket, response } = Deno.upgradeWebSocket(
    req,
    handlers ? second : first as WebSocketUpgradeOptions,
  );
  if (!handlers) return { socket, response };
  socket.onopen = () => handlers.open?.(socket);
  socket.onmessage = (event) => handlers.message?.(socket, event);
  socket.onclose = (event) => handlers.close?.(socket, event.code, event.reason);
  socket.onerror = (event) => handlers.error?.(socket, event);
  return response;
}

function isHandlers(value: object): value is WebSocketHandlers {
  return ["open", "message", "close", "error"].some((name) =>
    typeof (value as Record<string, unknown>)[name] === "function"
  );
}
