/** A pattern's handlers, by method or for "ALL". */
export type ByMethod<T> = Map<string, T>;

export interface Match<T> {
  pattern: string;
  params: Record<string, string>;
  handlers: ByMethod<T>;
}

/** Finds a pattern for a path: fixed paths first, then patterns in the order they were added. */
export class Router<T> {
  #fixed = new Map<string, ByMethod<T>>();
  #dynamic: { pattern: string; test: URLPattern; handlers: ByMethod<T> }[] = [];

  /** The handlers of `pattern`, to which the caller adds its own. */
  at(pattern: string): ByMethod<T> {
    const isDynamic = /[:*{}()+?]/.test(pattern);
    const existing = isDynamic
      ? this.#dynamic.find((entry) => entry.pattern === pattern)?.handlers
      : this.#fixed.get(pattern);
    if (existing) return existing;
    const handlers: ByMethod<T> = new Map();
    if (isDynamic) {
      const pathname = pattern === "*" ? "/*" : pattern;
      this.#dynamic.push({
        pattern,
        test: new URLPattern({ pathname }),
        handlers,
      });
    } else {
      this.#fixed.set(pattern, handlers);
    }
    return handlers;
  }

  match(url: URL): Match<T> | null {
    const path = url.pathname === "/" ? "/" : url.pathname.replace(/\/$/, "");
    const fixed = this.#fixed.get(path);
    if (fixed) return { pattern: path, params: {}, handlers: fixed };
    for (const { pattern, test, handlers } of this.#dynamic) {
      const groups = test.exec({ pathname: path })?.pathname.groups;
      if (groups) return { pattern, params: decoded(groups), handlers };
    }
    return null;
  }
}

function decoded(
  groups: Record<string, string | undefined>,
): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(groups)) {
    if (value === undefined) continue;
    try {
      params[name] = decodeURIComponent(value);
    } catch {
      params[name] = value;
    }
  }
  return params;
}

/** "/a" and "/b" make "/a/b"; either may be "/" or empty. */
export function joinPath(base: string, path: string): string {
  if (path === "*") return base === "" || base === "/" ? "*" : `${base}/*`;
  const joined = `${base}/${path}`.replaceAll(/\/{2,}/g, "/");
  return joined === "/" ? joined : joined.replace(/\/$/, "");
}
