import type { AnyComponent, VNode } from "preact";
import type { Context, PageProps } from "./context.ts";

export const METHODS = [
  "HEAD",
  "GET",
  "POST",
  "PATCH",
  "PUT",
  "DELETE",
  "OPTIONS",
] as const;
export type Method = typeof METHODS[number];

export type MiddlewareFn<State> = (
  ctx: Context<State>,
) => Response | Promise<Response>;
export type Middleware<State> = MiddlewareFn<State> | MiddlewareFn<State>[];

/** What a handler answers with when the route's component is to be rendered. */
export interface PageResponse<Data> {
  data: Data;
  headers?: HeadersInit;
  status?: number;
}

export interface HandlerFn<Data, State> {
  (
    ctx: Context<State>,
  ): Response | PageResponse<Data> | Promise<Response | PageResponse<Data>>;
}
export type HandlerByMethod<Data, State> = {
  [M in Method]?: HandlerFn<Data, State>;
};
export type RouteHandler<Data, State> =
  | HandlerFn<Data, State>
  | HandlerByMethod<Data, State>;
export type RouteData<Handler extends RouteHandler<unknown, unknown>> = Handler extends
  RouteHandler<infer Data, unknown> ? Data : never;

export interface LayoutConfig {
  /** Leaves out the layouts above. */
  skipInheritedLayouts?: boolean;
  /** Leaves out the app wrapper. */
  skipAppWrapper?: boolean;
}

export interface RouteConfig extends LayoutConfig {
  /** Serves the route under this pattern instead of the one its file's path gives. */
  routeOverride?: string;
}

/** A component of a route, layout or app wrapper; an async one may answer with a Response instead. */
export type RouteComponent<State> =
  // deno-lint-ignore no-explicit-any
  | AnyComponent<PageProps<any, State>>
  // deno-lint-ignore no-explicit-any
  | ((props: PageProps<any, State>) => Promise<VNode | Response>);

export interface Route<State> {
  component?: RouteComponent<State>;
  config?: RouteConfig;
  // deno-lint-ignore no-explicit-any
  handler?: RouteHandler<any, State>;
}

export type Lazy<T> = () => Promise<T>;
export type MaybeLazy<T> = T | Lazy<T>;
