/**
 * The two unix sockets on which the API is served.
 *
 * @module
 */
import { dirname } from "@std/path";
import { removeIfThere } from "../durable.ts";
import { messageOf } from "../log.ts";
import type { Supervisor } from "../supervisor.ts";
import type { Door } from "./door.ts";
import { createHandler } from "./server.ts";

/** sockaddr_un has room for this many bytes. */
const LONGEST_SOCKET_PATH = 107;

export interface SocketOptions {
  path: string;
  door: Door;
  /** Whom the socket and its directory are given to. */
  uid?: number;
}

/** Serves the API on a socket that only its owner can open. */
export function serveSocket(
  supervisor: Supervisor,
  { path, door, uid }: SocketOptions,
): Deno.HttpServer<Deno.UnixAddr> {
  if (new TextEncoder().encode(path).length > LONGEST_SOCKET_PATH) {
    throw new RangeError(
      `Cannot listen on "${path}": a socket's path has at most ${LONGEST_SOCKET_PATH} bytes`,
    );
  }
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  removeIfThere(path);
  const server = Deno.serve({
    path,
    onListen: () => {},
    onError(error) {
      supervisor.log("error", "cannot answer a request", { error: messageOf(error) });
      return new Response(null, { status: 500 });
    },
  }, createHandler(supervisor, door));
  Deno.chmodSync(path, 0o600);
  // Where the directory was made for its user beforehand, the socket is that user's too.
  const owner = uid ?? Deno.statSync(dirname(path)).uid;
  if (owner !== null && owner !== Deno.uid()) {
    Deno.chownSync(path, owner, null);
    Deno.chownSync(dirname(path), owner, null);
  }
  return server;
}
