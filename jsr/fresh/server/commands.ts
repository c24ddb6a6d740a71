import type { Middleware } from "./types.ts";
import type {
  LayoutConfig,
  MaybeLazy,
  Method,
  Route,
  RouteComponent,
  RouteConfig,
} from "./types.ts";

/**
 * What an app was told, in order: a middleware, layout, wrapper or error page serves only what
 * comes after it.
 *
 * `path` is a URL pattern; `scope`, where given, is the folder that a file route came from, whose
 * "(group)" parts are no part of the URL but bound layouts and middlewares.
 */
export type Command<State> =
  | {
    kind: "middleware";
    path: string;
    scope?: string;
    fns: Middleware<State>[];
  }
  | {
    kind: "layout";
    path: string;
    scope?: string;
    component: RouteComponent<State>;
    config?: LayoutConfig;
  }
  | { kind: "app"; component: RouteComponent<State> }
  | {
    kind: "error";
    path: string;
    scope?: string;
    route: Route<State> | Middleware<State>;
  }
  | { kind: "notFound"; route: Route<State> | Middleware<State> }
  | {
    kind: "route";
    path: string;
    scope?: string;
    route: MaybeLazy<Route<State>>;
    config?: RouteConfig;
  }
  | {
    kind: "handler";
    method: Method | "ALL";
    path: string;
    fns: Middleware<State>[];
  }
  | { kind: "fsRoutes"; path: string; commands: () => Command<State>[] };
