/**
 * The two doors of the API and what each asks of a request: the local socket, which only the host's
 * own administrator can open, asks nothing; the console's socket wants a session, its CSRF token
 * with every change, and no foreign origin.
 *
 * @module
 */
import type { Access } from "../access/access.ts";
import { sameSecret } from "../access/secrets.ts";
import type { Session } from "../access/sessions.ts";
import type { Route } from "../api/routes.ts";
import { problem } from "../problem.ts";
import { parseSessionToken } from "./cookies.ts";

export type Door = "local" | "console";

/** Who a request comes from. */
export interface Caller {
  door: Door;
  /** For the limits on attempts. */
  address: string;
  session: Session | null;
  /** What the session's cookie holds. */
  token: string | null;
}

/** What ends the streams of a caller: the end of the session, and of the supervisor. */
export function endsOf({ closing }: { closing: AbortSignal }, { session }: Caller): AbortSignal[] {
  return session === null ? [closing] : [closing, session.ended];
}

const FETCH_SITES = ["same-origin", "none"];

/** Whether a browser sent the request for a page of another origin. */
export function isForeign(headers: Headers): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null && !FETCH_SITES.includes(site)) return true;
  const origin = headers.get("origin");
  if (origin === null) return false;
  const host = headers.get("x-forwarded-host") ?? headers.get("host");
  return host === null || origin.toLowerCase() !== `https://${host.toLowerCase()}`;
}

/** Lets a request in, or throws why not. */
export async function enter(
  request: Request,
  { door, route, access }: { door: Door; route: Route; access: Access },
): Promise<Caller> {
  const { headers } = request;
  if (door === "local") return { door, address: "local", session: null, token: null };
  const address = headers.get("x-forwarded-for") ?? "unknown";
  const changes = route.method !== "GET" || route.stream === "websocket";
  if (changes && isForeign(headers)) {
    throw problem(
      "foreign_origin",
      "Cannot take a request from a page of another site. Use the console's own address",
    );
  }
  // No header of its own can go with a browser's WebSocket, so there the origin must speak for it.
  if (route.stream === "websocket" && headers.get("origin") === null) {
    throw problem("foreign_origin", "Cannot open a WebSocket without an Origin header");
  }
  if (route.access === "local") {
    throw problem("local_only", "Cannot do this from afar: it is for the host's own socket alone");
  }
  const token = parseSessionToken(headers.get("cookie"));
  const session = token === null ? null : await access.sessions.find(token);
  if (route.access === "anyone") return { door, address, session, token };
  if (session === null) {
    throw problem("not_signed_in", "Cannot do this without a session. Sign in first");
  }
  if (route.method !== "GET" && !sameSecret(headers.get("x-csrf-token") ?? "", session.csrfToken)) {
    throw problem(
      "csrf_failed",
      "Cannot take a change without the session's token in the header x-csrf-token. Load the page again",
    );
  }
  return { door, address, session, token };
}
