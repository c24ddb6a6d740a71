import { apiFor } from "./page_api.ts";
import { define } from "./state.ts";

/** Sends browsers to the set-up or the login where that must come first. */
export const requireSession = define.middleware(async (ctx) => {
  const { req, state, url, info } = ctx;
  state.api = apiFor(req, info);
  state.session = await state.api.call("getSession", {});
  const { setupNeeded, signedIn } = state.session;
  const isDoor = url.pathname === "/login" || url.pathname === "/setup";
  if (setupNeeded) {
    return url.pathname === "/setup" ? await ctx.next() : ctx.redirect("/setup", 303);
  }
  if (url.pathname === "/setup") return ctx.redirect("/login", 303);
  if (signedIn) return isDoor ? ctx.redirect("/", 303) : await ctx.next();
  if (isDoor) return await ctx.next();
  const next = url.pathname === "/" ? "" : `?next=${encodeURIComponent(url.pathname)}`;
  return ctx.redirect(`/login${next}`, 303);
});
