/**
 * What stands between the network and the rest: checks a request's size and origin, sends it to the
 * supervisor or to the pages, and puts security headers on what comes back.
 *
 * @module
 */
import { bridge } from "./bridge.ts";
import { forward } from "./forward.ts";
import { headerBytes, LIMITS, Quota } from "./limits.ts";
import { problem } from "./problem.ts";
import { secure } from "./security.ts";
import { hostOf, type Upstream } from "./upstream.ts";

export type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

export interface GateOptions {
  upstream: Upstream;
  /** Answers for everything that is not the API. */
  pages: Handler;
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

export function createGate({ upstream, pages }: GateOptions): Handler {
  const sockets = new Quota({
    total: LIMITS.webSockets,
    perAddress: LIMITS.webSocketsPerAddress,
  });
  const streams = new Quota({
    total: LIMITS.eventStreams,
    perAddress: LIMITS.eventStreamsPerAddress,
  });
  const answer: Handler = (request, info) => {
    const refused = refuse(request);
    if (refused) return refused;
    const { pathname } = new URL(request.url);
    if (pathname !== "/api" && !pathname.startsWith("/api/")) return pages(request, info);
    const remote = info.remoteAddr.hostname;
    return request.headers.get("upgrade")?.toLowerCase() === "websocket"
      ? bridge(request, { upstream, remote, sockets })
      : forward(request, { upstream, remote, streams });
  };
  return async (request, info) => {
    try {
      return secure(await answer(request, info));
    } catch (error) {
      console.error("Cannot answer a request:", error);
      return secure(problem(500, "internal", "Cannot answer: the console failed. Try again"));
    }
  };
}

/** An answer to what no browser on a page of ours would send; null where there is nothing against it. */
function refuse(request: Request): Response | null {
  if (headerBytes(request) > LIMITS.headerBytes) {
    return problem(
      431,
      "headers_too_large",
      `Cannot read the request: its headers are longer than ${LIMITS.headerBytes} bytes`,
    );
  }
  if (!METHODS.includes(request.method)) {
    return problem(405, "method_not_allowed", `Cannot answer method ${request.method}`);
  }
  if (!isOwnOrigin(request)) {
    return problem(
      403,
      "foreign_origin",
      "Cannot take a request from a page of another site. Use the console's own address",
    );
  }
  return null;
}

/** Changes and WebSockets are for our own pages; a program that is no browser sends no origin. */
function isOwnOrigin(request: Request): boolean {
  const isUpgrade = request.headers.has("upgrade");
  if ((request.method === "GET" || request.method === "HEAD") && !isUpgrade) return true;
  const site = request.headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin" && site !== "none") return false;
  const origin = request.headers.get("origin");
  if (origin === null) return !isUpgrade;
  return origin.toLowerCase() === `https://${hostOf(request).toLowerCase()}`;
}

/** Sends who comes by HTTP on to HTTPS, on the host that they asked for. */
export function createRedirect(httpsPort: () => number): (request: Request) => Response {
  return (request) => {
    const url = new URL(request.url);
    const host = URL.parse(`http://${hostOf(request)}`)?.hostname ?? url.hostname;
    const port = httpsPort() === 443 ? "" : `:${httpsPort()}`;
    const safe = request.method === "GET" || request.method === "HEAD";
    return secure(
      new Response(null, {
        // A form's content must not be sent again in clear by a kept redirect.
        status: safe ? 307 : 403,
        headers: safe ? { location: `https://${host}${port}${url.pathname}${url.search}` } : {},
      }),
    );
  };
}
