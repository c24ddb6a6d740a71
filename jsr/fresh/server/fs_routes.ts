import type { Command } from "./commands.ts";
import { joinPath } from "./router.ts";
import type { Middleware, Route, RouteComponent, RouteConfig, RouteHandler } from "./types.ts";

/** A module in the routes folder. */
export interface RouteModule {
  default?: RouteComponent<unknown>;
  config?: RouteConfig;
  // deno-lint-ignore no-explicit-any
  handler?: RouteHandler<any, unknown> | Middleware<unknown>;
  // deno-lint-ignore no-explicit-any
  handlers?: RouteHandler<any, unknown> | Middleware<unknown>;
}

export interface FileRoute {
  /** Relative to the routes folder, without its extension, such as "guests/[id]". */
  id: string;
  mod: RouteModule;
}

/**
 * The commands for a folder of routes: in every folder first what serves the others (`_app`,
 * `_middleware`, `_error`, `_layout`, `_404`), then routes, the more specific pattern first.
 */
export function toCommands(files: FileRoute[]): Command<unknown>[] {
  return [...files].sort((a, b) => compareIds(a.id, b.id)).flatMap(toCommand);
}

function toCommand({ id, mod }: FileRoute): Command<unknown>[] {
  const { folder, name } = splitId(id);
  const scope = `/${folder}`;
  const path = patternOf(folder);
  const handler = mod.handlers ?? mod.handler;
  const component = mod.default;
  const route: Route<unknown> = {
    component,
    handler: handler as Route<unknown>["handler"],
  };
  const needComponent = (): RouteComponent<unknown> => {
    if (component) return component;
    throw new TypeError(
      `Cannot use route file "${id}": it has no default export`,
    );
  };
  switch (name) {
    case "_app":
      return [{ kind: "app", component: needComponent() }];
    case "_layout":
      return [{
        kind: "layout",
        path,
        scope,
        component: needComponent(),
        config: mod.config,
      }];
    case "_middleware": {
      const fns = handler ?? component;
      if (typeof fns !== "function" && !Array.isArray(fns)) {
        throw new TypeError(
          `Cannot use route file "${id}": it exports no middleware`,
        );
      }
      return [{
        kind: "middleware",
        path,
        scope,
        fns: [fns as Middleware<unknown>],
      }];
    }
    case "_error":
    case "_500":
      return [{
        kind: "error",
        path,
        scope,
        route: { ...route, config: mod.config },
      }];
    case "_404":
      return [{ kind: "notFound", route: { ...route, config: mod.config } }];
    default: {
      if (!handler && !component) {
        throw new TypeError(
          `Cannot use route file "${id}": it exports neither a page nor a handler`,
        );
      }
      const own = mod.config?.routeOverride ?? patternOf(id);
      return [{
        kind: "route",
        path: own,
        scope: `/${id}`,
        route,
        config: mod.config,
      }];
    }
  }
}

function splitId(id: string): { folder: string; name: string } {
  const at = id.lastIndexOf("/");
  return { folder: at === -1 ? "" : id.slice(0, at), name: id.slice(at + 1) };
}

/** "(admin)/guests/[id]" is served under "/guests/:id". */
export function patternOf(id: string): string {
  let pattern = "";
  const parts = id.split("/");
  for (const [i, part] of parts.entries()) {
    if (part === "" || /^\(.*\)$/.test(part)) continue;
    if (part === "index" && i === parts.length - 1) continue;
    const optional = /^\[\[(\w+)\]\]$/.exec(part);
    const rest = /^\[\.\.\.(\w+)\]$/.exec(part);
    if (optional) pattern += `{/:${optional[1]}}?`;
    else if (rest) pattern += `/:${rest[1]}*`;
    else pattern += `/${part.replaceAll(/\[(\w+)\]/g, ":$1")}`;
  }
  return pattern === "" ? "/" : pattern.includes("{") ? pattern : joinPath("", pattern);
}

const SPECIAL = ["_app", "_middleware", "_error", "_500", "_layout", "_404"];

function rank(part: string, isLast: boolean): number {
  if (isLast && SPECIAL.includes(part)) {
    return SPECIAL.indexOf(part) - SPECIAL.length;
  }
  if (/^\(.*\)$/.test(part)) return 0;
  if (part.startsWith("[...")) return 4;
  if (part.startsWith("[[")) return 3;
  if (part.includes("[")) return 2;
  return 1;
}

function compareIds(a: string, b: string): number {
  const left = a.split("/");
  const right = b.split("/");
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const l = rank(left[i], i === left.length - 1);
    const r = rank(right[i], i === right.length - 1);
    if (l !== r) return l - r;
    if (left[i] !== right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return left.length - right.length;
}
