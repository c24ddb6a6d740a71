/**
 * Requests in, answers out: routing, the door's checks, the body, the handler, and every error as a
 * problem.
 *
 * @module
 */
import { explainIssue } from "../api/field_errors.ts";
import { type Route, ROUTES } from "../api/routes.ts";
import { Id } from "../api/schemas.ts";
import { messageOf } from "../log.ts";
import { ApiProblem, problem } from "../problem.ts";
import type { Supervisor } from "../supervisor.ts";
import { MAX_OPEN_BODY_BYTES, readBody } from "./body.ts";
import { type Door, enter } from "./door.ts";
import { createHandlers, type Handlers } from "./handlers.ts";
import { match } from "./router.ts";

const SECURITY_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Makes the function that answers the requests that come through `door`. */
export function createHandler(
  supervisor: Supervisor,
  door: Door,
): (request: Request) => Promise<Response> {
  const handlers = createHandlers(supervisor);
  return async (request) => {
    try {
      return await answer(request, { supervisor, door, handlers });
    } catch (error) {
      const known = error instanceof ApiProblem;
      if (!known) {
        supervisor.log("error", "a request failed", {
          method: request.method,
          path: new URL(request.url).pathname,
          error: messageOf(error),
          stack: error instanceof Error ? error.stack : undefined,
        });
      }
      const told = known
        ? error
        : problem("internal", "Cannot do this: the supervisor failed. Its log tells why");
      // What the client still sends is not wanted: without this it would wait for it to be read.
      await request.body?.cancel().catch(() => {});
      return Response.json(told, {
        status: told.status,
        headers: { ...SECURITY_HEADERS, ...told.headers },
      });
    }
  };
}

async function answer(
  request: Request,
  { supervisor, door, handlers }: { supervisor: Supervisor; door: Door; handlers: Handlers },
): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const found = match(request.method, pathname);
  if (found === null) {
    throw problem(
      "not_found",
      `Cannot find "${pathname}". See /api/v1/openapi.json for what there is`,
    );
  }
  if ("allow" in found) {
    const allow = found.allow.join(", ");
    throw problem(
      "method_not_allowed",
      `Cannot ${request.method} "${pathname}": it takes ${allow}`,
      {
        headers: { allow },
      },
    );
  }
  const route: Route = ROUTES[found.operation];
  const caller = await enter(request, { door, route, access: supervisor.access });
  const params = checkParams(route, found.params);
  const query = checkQuery(route, searchParams);
  const body = route.body === undefined || route.body === "bytes"
    ? undefined
    : await readBody(request, route.body, {
      optional: route.bodyOptional,
      ...(route.access === "anyone" && { maxBytes: MAX_OPEN_BODY_BYTES }),
    });
  // The table of routes gives operation, parameters and body their types together; it is only here,
  // where the operation is not known before it runs, that TypeScript cannot follow.
  const handler = handlers[found.operation as keyof Handlers] as
    | ((call: unknown) => unknown)
    | undefined;
  if (handler === undefined) throw problem("not_found", `Cannot ${found.operation} yet`);
  const result = await handler({ request, params, query, body, caller });
  if (result instanceof Response) {
    if (result.status === 101) return result;
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      if (!result.headers.has(name)) result.headers.set(name, value);
    }
    return result;
  }
  if (route.answer === null) {
    return new Response(null, { status: route.status, headers: SECURITY_HEADERS });
  }
  return Response.json(result, { status: route.status, headers: SECURITY_HEADERS });
}

/** What stands behind the "?"; routes that know of none leave it unread, as ever. */
function checkQuery(route: Route, search: URLSearchParams): Record<string, unknown> {
  if (route.query === undefined) return {};
  const query: Record<string, unknown> = {};
  for (const [name, text] of search) {
    const result = Object.hasOwn(route.query, name)
      ? route.query[name].safeParse(text, { error: explainIssue })
      : null;
    if (result === null) {
      const names = Object.keys(route.query).join(", ");
      throw problem("invalid_query", `Cannot ask for "${name}": it may be one of ${names}`);
    }
    if (!result.success) {
      const { message } = result.error.issues[0];
      throw problem("invalid_query", `Cannot use "${text}" as ${name}: it ${message}`);
    }
    query[name] = result.data;
  }
  return query;
}

function checkParams(route: Route, params: Record<string, string>): Record<string, string> {
  for (const [name, schema] of Object.entries(route.params ?? {})) {
    const result = schema.safeParse(params[name]);
    if (result.success) continue;
    const { message } = result.error.issues[0];
    throw schema === Id
      ? problem("not_found", `Cannot find anything with the id "${params[name]}"`)
      : problem("invalid_path", `Cannot use "${params[name]}" as ${name}: ${message}`);
  }
  return params;
}
