/**
 * Finds the operation that a request's method and path mean, in the table of routes.
 *
 * @module
 */
import { API_BASE, type Operation, type Route, ROUTES } from "../api/routes.ts";

/** What a method and a path mean. */
export type Match =
  | { operation: Operation; params: Record<string, string> }
  /** The path exists, with other methods. */
  | { allow: string[] }
  | null;

interface Pattern {
  operation: Operation;
  route: Route;
  segments: string[];
}

/** The longest path that is looked at. */
const LONGEST_PATH = 1024;

const PATTERNS: Pattern[] = Object.entries(ROUTES).map(([operation, route]) => ({
  operation: operation as Operation,
  route,
  segments: split(API_BASE + route.path)!,
}));

/** A path's segments, decoded; null where it cannot be a path of the API. */
function split(path: string): string[] | null {
  if (!path.startsWith("/") || path.length > LONGEST_PATH) return null;
  try {
    return path.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

function bind(pattern: string[], segments: string[]): Record<string, string> | null {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i].startsWith(":")) {
      if (segments[i] === "") return null;
      params[pattern[i].slice(1)] = segments[i];
    } else if (pattern[i] !== segments[i]) return null;
  }
  return params;
}

/** Looks up a request; HEAD is answered as GET. */
export function match(method: string, path: string): Match {
  const segments = split(path);
  if (segments === null) return null;
  const wanted = method === "HEAD" ? "GET" : method;
  const allow = new Set<string>();
  for (const pattern of PATTERNS) {
    const params = bind(pattern.segments, segments);
    if (params === null) continue;
    // A stream has no length and no end to tell of.
    const hasHead = pattern.route.method === "GET" && pattern.route.stream === undefined;
    if (pattern.route.method === wanted && (method !== "HEAD" || hasHead)) {
      return { operation: pattern.operation, params };
    }
    allow.add(pattern.route.method);
    if (hasHead) allow.add("HEAD");
  }
  return allow.size === 0 ? null : { allow: [...allow].sort() };
}
