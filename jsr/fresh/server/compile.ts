import type { Command } from "./commands.ts";
import type { Context } from "./context.ts";
import { getTree, setNext, setTree, type Tree } from "./context.ts";
import { HttpError } from "./error.ts";
import { renderRoute } from "./render.ts";
import { joinPath, Router } from "./router.ts";
import type { HandlerFn, Middleware, MiddlewareFn, Route, RouteConfig } from "./types.ts";

export interface Compiled<State> {
  router: Router<MiddlewareFn<State>>;
  /** For what no route matched: the middlewares of the root, then `ctx.next` as the caller set it. */
  root: MiddlewareFn<State>;
}

type Scoped<State> = Extract<
  Command<State>,
  { kind: "middleware" | "layout" | "error" | "app" }
>;

/** Applies commands one after another and yields a router of finished handler chains. */
export function compile<State>(
  commands: Command<State>[],
  basePath: string,
): Compiled<State> {
  const router = new Router<MiddlewareFn<State>>();
  const scopes: Scoped<State>[] = [];
  let notFound: Route<State> | Middleware<State> | null = null;
  // Read when a request comes, since a page for what is not found may be registered last.
  const getNotFound = () => notFound;

  const add = (
    method: string,
    path: string,
    endpoint: MiddlewareFn<State>,
    options: { scope?: string; config?: RouteConfig } = {},
  ) => {
    const covering = scopes.filter((scope) => covers(scope, path, options.scope));
    router.at(joinPath(basePath, path)).set(
      method,
      chain(covering, endpoint, { config: options.config, getNotFound }),
    );
  };

  const apply = (command: Command<State>, prefix: string) => {
    const at = (path: string) => prefix === "" ? path : joinPath(prefix, path);
    switch (command.kind) {
      case "middleware":
      case "layout":
      case "error":
        scopes.push({ ...command, path: at(command.path) });
        break;
      case "app":
        scopes.push(command);
        break;
      case "notFound":
        notFound = command.route;
        break;
      case "handler":
        add(command.method, at(command.path), sequence(command.fns));
        break;
      case "route": {
        const { route, config, scope } = command;
        if (typeof route === "function") {
          let loaded: Promise<Route<State>> | undefined;
          add("ALL", at(command.path), async (ctx) => {
            const { handler, component } = await (loaded ??= route());
            return runRoute(ctx, methodOf(handler, ctx.req.method), component);
          }, { scope, config });
          break;
        }
        const options = { scope, config: { ...route.config, ...config } };
        for (const [method, handler] of handlersOf(route)) {
          add(
            method,
            at(command.path),
            (ctx) => runRoute(ctx, handler, route.component),
            options,
          );
        }
        break;
      }
      case "fsRoutes": {
        const path = command.path === "*" ? "" : command.path;
        for (const item of command.commands()) apply(item, path);
        break;
      }
    }
  };
  for (const command of commands) apply(command, "");

  const atRoot = scopes.filter((scope) => depthOf(scope) === 0);
  return { router, root: chain(atRoot, (ctx) => ctx.next(), { getNotFound }) };
}

function segments(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== "*");
}

function pathOf<State>(scope: Scoped<State>): string {
  return scope.kind === "app" ? "/" : scope.scope ?? scope.path;
}

function depthOf<State>(scope: Scoped<State>): number {
  return segments(pathOf(scope)).length;
}

function covers<State>(
  scope: Scoped<State>,
  path: string,
  folder = path,
): boolean {
  const own = segments(pathOf(scope));
  // A scope with a group is compared with folders; one without, with the URL.
  const whole = segments(
    own.some((part) => part.startsWith("(")) ? folder : path,
  );
  return own.every((part, i) => part === whole[i]);
}

interface ChainOptions<State> {
  config?: RouteConfig;
  getNotFound: () => Route<State> | Middleware<State> | null;
}

/**
 * Level by level from the root: the level's error page around everything, then its middlewares,
 * then the next level. Entering a level sets the wrapper and layouts in force there.
 */
function chain<State>(
  scopes: Scoped<State>[],
  endpoint: MiddlewareFn<State>,
  options: ChainOptions<State>,
): MiddlewareFn<State> {
  const levels = [...new Set([0, ...scopes.map(depthOf)])].sort((a, b) => a - b);
  let tree: Tree<State> = { app: null, layouts: [] };
  const steps: MiddlewareFn<State>[] = [];
  for (const level of levels) {
    const errors: Extract<Scoped<State>, { kind: "error" }>[] = [];
    const middlewares: MiddlewareFn<State>[] = [];
    for (const scope of scopes) {
      if (depthOf(scope) !== level) continue;
      switch (scope.kind) {
        case "app":
          tree = { ...tree, app: scope.component };
          break;
        case "layout": {
          const inherited = scope.config?.skipInheritedLayouts ? [] : tree.layouts;
          tree = {
            app: scope.config?.skipAppWrapper ? null : tree.app,
            layouts: [...inherited, scope.component],
          };
          break;
        }
        case "error":
          errors.push(scope);
          break;
        case "middleware":
          middlewares.push(...scope.fns.flat());
          break;
      }
    }
    const here = tree;
    steps.push(async (ctx) => {
      setTree(ctx, here);
      const page = errors.at(-1)?.route;
      if (page === undefined && level !== 0) return await ctx.next();
      try {
        return await ctx.next();
      } catch (error) {
        setTree(ctx, here);
        return await recover(ctx, error, {
          page,
          notFound: level === 0 ? options.getNotFound() : null,
        });
      }
    });
    steps.push(...middlewares);
  }
  const last: Tree<State> = {
    app: options.config?.skipAppWrapper ? null : tree.app,
    layouts: options.config?.skipInheritedLayouts ? [] : tree.layouts,
  };
  return sequence([...steps, (ctx) => {
    setTree(ctx, last);
    return endpoint(ctx);
  }]);
}

type Page<State> = Route<State> | Middleware<State>;

async function recover<State>(
  ctx: Context<State>,
  error: unknown,
  pages: { page?: Page<State>; notFound: Page<State> | null },
): Promise<Response> {
  const status = error instanceof HttpError ? error.status : 500;
  const chosen = status === 404 && pages.notFound ? pages.notFound : pages.page;
  if (!chosen) throw error;
  ctx.error = error;
  if (status >= 500) console.error(error);
  const response = Array.isArray(chosen) || typeof chosen === "function"
    ? await sequence([chosen])(ctx)
    : await runRoute(
      ctx,
      methodOf(chosen.handler, ctx.req.method),
      chosen.component,
      status,
    );
  return response;
}

/** Runs middlewares one in another; each one's `ctx.next()` is the rest. */
export function sequence<State>(
  middlewares: Middleware<State>[],
): MiddlewareFn<State> {
  const fns = middlewares.flat();
  return (ctx) => {
    const outer = ctx.next;
    const run = async (index: number): Promise<Response> => {
      if (index === fns.length) return await outer();
      const tree = getTree(ctx);
      setNext(ctx, () => run(index + 1));
      try {
        return await fns[index](ctx);
      } finally {
        setNext(ctx, outer);
        setTree(ctx, tree);
      }
    };
    return run(0);
  };
}

function handlersOf<State>(
  route: Route<State>,
): [string, HandlerFn<unknown, State> | undefined][] {
  if (typeof route.handler === "function") return [["ALL", route.handler]];
  const entries: [string, HandlerFn<unknown, State> | undefined][] = Object
    .entries(
      route.handler ?? {},
    );
  if (route.component && !entries.some(([method]) => method === "GET")) {
    entries.push(["GET", undefined]);
  }
  return entries;
}

function methodOf<State>(
  handler: Route<State>["handler"],
  method: string,
): HandlerFn<unknown, State> | undefined {
  if (typeof handler === "function") return handler;
  const name = method === "HEAD" && !handler?.HEAD ? "GET" : method;
  return handler?.[name as keyof typeof handler];
}

async function runRoute<State>(
  ctx: Context<State>,
  handler: HandlerFn<unknown, State> | undefined,
  component: Route<State>["component"],
  defaultStatus = 200,
): Promise<Response> {
  let init: ResponseInit = { status: defaultStatus };
  if (handler) {
    const answer = await handler(ctx);
    if (answer instanceof Response) return answer;
    ctx.data = answer.data;
    init = { status: answer.status ?? defaultStatus, headers: answer.headers };
  }
  if (!component) {
    throw new TypeError(
      `Cannot answer "${ctx.url.pathname}": its handler returned data, but the route has no component`,
    );
  }
  return await renderRoute(ctx, component, init);
}
