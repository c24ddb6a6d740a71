import type { AnyComponent } from "preact";
import type { PageProps } from "./context.ts";
import type { HandlerByMethod, HandlerFn, Middleware, RouteHandler } from "./types.ts";

/** Functions that return what they are given: they only tell the compiler its type. */
export interface Define<State> {
  handlers<
    Data,
    Handlers extends RouteHandler<Data, State> = RouteHandler<Data, State>,
  >(
    handlers: Handlers,
  ): typeof handlers;
  /** A page's component; `Handler` is the type of the handlers in the same file. */
  page<
    // deno-lint-ignore no-explicit-any
    Handler extends RouteHandler<any, State> = never,
    Data = Handler extends HandlerFn<infer Data, State> ? Data
      : Handler extends HandlerByMethod<infer Data, State> ? Data
      : never,
  >(render: AnyComponent<PageProps<Data, State>>): typeof render;
  layout(render: AnyComponent<PageProps<unknown, State>>): typeof render;
  middleware<M extends Middleware<State>>(middleware: M): typeof middleware;
}

/**
 * @example
 * ```ts
 * import { createDefine } from "fresh";
 *
 * export const define = createDefine<{ user: string }>();
 * export const handler = define.middleware((ctx) => {
 *   ctx.state.user = "someone";
 *   return ctx.next();
 * });
 * ```
 */
export function createDefine<State>(): Define<State> {
  return {
    handlers: (handlers) => handlers,
    page: (render) => render,
    layout: (render) => render,
    middleware: (middleware) => middleware,
  };
}
