import { define, type Theme } from "./state.ts";

export const THEME_COOKIE = "theme";

/** A cookie and not the browser's storage, so that the first paint has the right colours. */
export const readTheme = define.middleware((ctx) => {
  ctx.state.theme = parseTheme(ctx.req.headers.get("cookie"));
  return ctx.next();
});

export function parseTheme(cookies: string | null): Theme {
  const value = /(?:^|;\s*)theme=(light|dark)(?:;|$)/.exec(cookies ?? "")?.[1];
  return value === "light" || value === "dark" ? value : "auto";
}
