import type { BuildCache } from "./build_cache.ts";
import type { Command } from "./commands.ts";
import { compile } from "./compile.ts";
import type { FreshConfig, ResolvedFreshConfig } from "./config.ts";
import { Context } from "./context.ts";
import { HttpError } from "./error.ts";
import type {
  LayoutConfig,
  MaybeLazy,
  Method,
  Middleware,
  Route,
  RouteComponent,
  RouteConfig,
} from "./types.ts";
import type { WebSocketHandlers, WebSocketUpgradeOptions } from "./websocket.ts";

export type ListenOptions = Partial<
  Deno.ServeTcpOptions & Deno.TlsCertifiedKeyPem
>;

/** Gives an app the results of a build. */
export let setBuildCache: (
  // deno-lint-ignore no-explicit-any
  app: App<any>,
  cache: BuildCache,
  mode: "development" | "production",
) => void;

/** For requests that do not come from a server, as in tests. */
const NO_CONNECTION: Deno.ServeHandlerInfo = {
  remoteAddr: { transport: "tcp", hostname: "localhost", port: 0 },
  completed: Promise.resolve(),
};

/**
 * A web application: what it is told is recorded and applied in order by {@linkcode App.handler}, so
 * a middleware or layout serves only what is registered after it.
 *
 * @example
 * ```ts
 * import { App } from "fresh";
 *
 * const app = new App()
 *   .use(async (ctx) => {
 *     const response = await ctx.next();
 *     response.headers.set("x-app", "example");
 *     return response;
 *   })
 *   .get("/hello/:name", (ctx) => ctx.text(`Hello ${ctx.params.name}`));
 *
 * const response = await app.handler()(new Request("http://localhost/hello/you"));
 * console.log(await response.text()); // Hello you
 * ```
 */
export class App<State> {
  config: ResolvedFreshConfig;
  #commands: Command<State>[] = [];
  #cache: BuildCache | null = null;

  static {
    setBuildCache = (app, cache, mode) => {
      app.#cache = cache;
      app.config.root = cache.root;
      app.config.mode = mode;
    };
  }

  constructor(config: FreshConfig = {}) {
    this.config = {
      root: ".",
      basePath: config.basePath ?? "",
      mode: config.mode ?? "production",
      trustProxy: config.trustProxy ?? false,
    };
  }

  /** Runs middlewares before what is registered after them, everywhere or at and below a path. */
  use(...middlewares: Middleware<State>[]): this;
  use(path: string, ...middlewares: Middleware<State>[]): this;
  use(first: string | Middleware<State>, ...rest: Middleware<State>[]): this {
    return typeof first === "string"
      ? this.#add({ kind: "middleware", path: first, fns: rest })
      : this.#add({ kind: "middleware", path: "*", fns: [first, ...rest] });
  }

  get(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("GET", path, fns);
  }
  post(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("POST", path, fns);
  }
  patch(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("PATCH", path, fns);
  }
  put(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("PUT", path, fns);
  }
  delete(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("DELETE", path, fns);
  }
  head(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("HEAD", path, fns);
  }
  all(path: string, ...fns: Middleware<State>[]): this {
    return this.#handle("ALL", path, fns);
  }

  /** A page: its handler, its component, or both. */
  route(
    path: string,
    route: MaybeLazy<Route<State>>,
    config?: RouteConfig,
  ): this {
    return this.#add({ kind: "route", path, route, config });
  }

  ws(
    path: string,
    handlers: WebSocketHandlers,
    options?: WebSocketUpgradeOptions,
  ): this {
    return this.get(path, (ctx) => ctx.upgrade(handlers, options));
  }

  /** Puts pages at and below `path` that are registered later into a component. */
  layout(
    path: string,
    component: RouteComponent<State>,
    config?: LayoutConfig,
  ): this {
    return this.#add({ kind: "layout", path, component, config });
  }

  /** The outermost component, with html, head and body. */
  appWrapper(component: RouteComponent<State>): this {
    return this.#add({ kind: "app", component });
  }

  notFound(route: Route<State> | Middleware<State>): this {
    return this.#add({ kind: "notFound", route });
  }

  /** Answers for what throws at and below `path`. */
  onError(path: string, route: Route<State> | Middleware<State>): this {
    return this.#add({ kind: "error", path, route });
  }

  /** Inserts the routes that the build found in the file system. */
  fsRoutes(pattern = "*"): this {
    return this.#add({
      kind: "fsRoutes",
      path: pattern,
      commands: () => (this.#cache?.fsCommands() ?? []) as Command<State>[],
    });
  }

  /** The function that answers requests. */
  handler(): (req: Request, info?: Deno.ServeHandlerInfo) => Promise<Response> {
    const { router, root } = compile(this.#commands, this.config.basePath);
    return async (req, info = NO_CONNECTION) => {
      const url = this.#urlOf(req);
      const match = router.match(url);
      const handlers = match?.handlers;
      const found = handlers?.get(req.method) ?? handlers?.get("ALL") ??
        (req.method === "HEAD" ? handlers?.get("GET") : undefined);
      const ctx = new Context<State>(req, {
        url,
        info,
        route: match?.pattern ?? null,
        params: match?.params ?? {},
        config: this.config,
        cache: this.#cache,
        next: () => withoutHandler(req.method, handlers && [...handlers.keys()]),
      });
      try {
        const response = await (found ?? root)(ctx);
        if (!(response instanceof Response)) {
          throw new TypeError(
            `Cannot answer "${url.pathname}": a handler returned ${response}`,
          );
        }
        return req.method === "HEAD" ? new Response(null, response) : response;
      } catch (error) {
        return plainError(error);
      }
    };
  }

  /** Serves until the process ends; on the first free port from 8000 where none is given. */
  async listen(options: ListenOptions = {}): Promise<void> {
    const handler = this.handler();
    for (let port = options.port ?? 8000;; port++) {
      try {
        const server = Deno.serve(
          { ...options, port } as Deno.ServeTcpOptions,
          handler,
        );
        return await server.finished;
      } catch (error) {
        const mayTryNext = options.port === undefined && port < 8020;
        if (!(error instanceof Deno.errors.AddrInUse && mayTryNext)) {
          throw error;
        }
      }
    }
  }

  #handle(
    method: Method | "ALL",
    path: string,
    fns: Middleware<State>[],
  ): this {
    return this.#add({ kind: "handler", method, path, fns });
  }

  #add(command: Command<State>): this {
    this.#commands.push(command);
    return this;
  }

  #urlOf(req: Request): URL {
    const url = new URL(req.url);
    // So that "//host" can never become a redirect's target.
    url.pathname = url.pathname.replaceAll(/\/{2,}/g, "/");
    if (this.config.trustProxy) {
      const proto = req.headers.get("x-forwarded-proto");
      const host = req.headers.get("x-forwarded-host");
      if (proto) url.protocol = `${proto}:`;
      if (host) url.host = host;
    }
    return url;
  }
}

/** `methods` are those that the path has; undefined where there is no such path. */
function withoutHandler(
  method: string,
  methods: string[] | undefined,
): Promise<Response> {
  if (!methods) return Promise.reject(new HttpError(404, "Not found"));
  const allow = [
    ...new Set(methods.flatMap((m) => m === "GET" ? ["GET", "HEAD"] : [m])),
  ].join(", ");
  if (method === "OPTIONS") {
    return Promise.resolve(
      new Response(null, { status: 204, headers: { allow } }),
    );
  }
  return Promise.reject(new HttpError(405, "Method not allowed"));
}

function plainError(error: unknown): Response {
  if (error instanceof HttpError && error.status < 500) {
    return new Response(error.message || "Error", { status: error.status });
  }
  console.error(error);
  return new Response("Internal server error", {
    status: error instanceof HttpError ? error.status : 500,
  });
}
