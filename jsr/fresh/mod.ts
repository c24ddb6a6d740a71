/**
 * Stands in for jsr:@fresh/core, which only JSR serves: the part of Fresh 2's documented API that
 * the console uses, in code of our own. Sources import `fresh`, `fresh/runtime` and `fresh/dev` as
 * in any Fresh project; without this package's entry in deno.json's `links` they get the real one.
 *
 * @module
 */
export { App, type ListenOptions } from "./server/app.ts";
export type { FreshConfig, ResolvedFreshConfig } from "./server/config.ts";
export type {
  Context,
  FreshContext,
  PageProps,
  WebSocketHandlers,
  WebSocketUpgradeOptions,
} from "./server/context.ts";
export { csp, type CSPOptions } from "./server/csp.ts";
export { csrf, type CsrfOptions } from "./server/csrf.ts";
export { createDefine, type Define } from "./server/define.ts";
export { HttpError } from "./server/error.ts";
export { page } from "./server/page.ts";
export { staticFiles } from "./server/static_files.ts";
export type {
  HandlerByMethod,
  HandlerFn,
  LayoutConfig,
  Lazy,
  MaybeLazy,
  Method,
  Middleware,
  MiddlewareFn,
  PageResponse,
  RouteConfig,
  RouteData,
  RouteHandler,
} from "./server/types.ts";
