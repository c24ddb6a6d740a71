import type { Context } from "./context.ts";
import { HttpError } from "./error.ts";
import type { MiddlewareFn } from "./types.ts";

// deno-lint-ignore no-explicit-any
export interface CsrfOptions<State = any> {
  /** Origins that may change things besides the app's own. */
  origin?:
    | string
    | string[]
    | ((origin: string, context: Context<State>) => boolean);
}

/** Refuses what would change something and comes from another site's page. */
export function csrf<State>(
  options: CsrfOptions<State> = {},
): MiddlewareFn<State> {
  const { origin: allowed } = options;
  const isAllowed = (origin: string | null, ctx: Context<State>): boolean => {
    if (origin === null) return false;
    if (allowed === undefined) return origin === ctx.url.origin;
    if (typeof allowed === "function") return allowed(origin, ctx);
    return typeof allowed === "string" ? origin === allowed : allowed.includes(origin);
  };
  return async (ctx) => {
    const { method, headers } = ctx.req;
    if (method === "GET" || method === "HEAD" || method === "OPTIONS") {
      return await ctx.next();
    }
    const site = headers.get("sec-fetch-site");
    const origin = headers.get("origin");
    // Neither header: not a browser, so nobody's cookies are being used against them.
    const isOwn = site === "same-origin" || site === "none" ||
      (site === null && origin === null);
    if (isOwn || isAllowed(origin, ctx)) return await ctx.next();
    throw new HttpError(403, "Foreign origin");
  };
}
