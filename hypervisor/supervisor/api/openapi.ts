/**
 * The OpenAPI 3.1 document, made from the table of routes and their schemas.
 *
 * @module
 */
import * as z from "zod";
import { API_BASE, type Route, ROUTES } from "./routes.ts";
import * as schemas from "./schemas.ts";

type Json = Record<string, unknown>;

const NAMES = new Map<unknown, string>(
  Object.entries(schemas)
    .filter(([, value]) => value instanceof z.ZodType)
    .map(([name, schema]) => [schema, name]),
);

/** JSON Schema of a value that is sent (`input`) or answered (`output`). */
function toSchema(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io });
  return json;
}

function describe(
  operation: string,
  route: Route,
  refer: (schema: z.ZodType, io: "input" | "output") => Json,
): Json {
  const parameters = Object.entries(route.params ?? {}).map(([name, schema]) => ({
    name,
    in: "path",
    required: true,
    schema: toSchema(schema, "input"),
  }));
  const queries = Object.entries(route.query ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: false,
    schema: toSchema(schema, "output"),
  }));
  const content = route.stream === "events"
    ? "text/event-stream"
    : route.stream === "lines"
    ? "application/x-ndjson"
    : route.stream === "file"
    ? "application/gzip"
    : "application/json";
  const problem = (description: string) => ({
    description,
    content: { "application/json": { schema: refer(schemas.Problem, "output") } },
  });
  const changes = route.method !== "GET";
  return {
    operationId: operation,
    summary: route.summary,
    ...(parameters.length + queries.length > 0 && { parameters: [...parameters, ...queries] }),
    ...(route.access === "anyone"
      ? { security: [] }
      : route.access === "local"
      ? { security: [], description: "Over the host's local socket only." }
      : { security: [changes ? { session: [], csrf: [] } : { session: [] }] }),
    ...(route.body !== undefined && {
      requestBody: {
        required: !route.bodyOptional,
        content: route.body === "bytes"
          ? { "application/octet-stream": { schema: { type: "string", format: "binary" } } }
          : { "application/json": { schema: refer(route.body, "input") } },
      },
    }),
    responses: {
      [route.status]: {
        description: route.summary,
        ...(route.stream === "file" &&
          { content: { [content]: { schema: { type: "string", format: "binary" } } } }),
        ...(route.answer !== null &&
          { content: { [content]: { schema: refer(route.answer, "output") } } }),
      },
      default: problem(
        route.problems === undefined
          ? "A problem"
          : `A problem; its own codes are ${route.problems.join(", ")}`,
      ),
    },
  };
}

/** Makes the document. */
export function openApiDocument(version: string): Json {
  const components: Json = {};
  const refer = (schema: z.ZodType, io: "input" | "output"): Json => {
    const name = NAMES.get(schema);
    if (name === undefined) {
      return schema instanceof z.ZodArray
        ? { type: "array", items: refer(schema.element as z.ZodType, io) }
        : toSchema(schema, io);
    }
    components[name] ??= toSchema(schema, io);
    return { $ref: `#/components/schemas/${name}` };
  };
  const paths: Record<string, Json> = {};
  for (const [operation, route] of Object.entries(ROUTES) as [string, Route][]) {
    const path = API_BASE + route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = describe(operation, route, refer);
  }
  return {
    openapi: "3.1.0",
    info: { title: "Denovisor", version },
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        session: { type: "apiKey", in: "cookie", name: "__Host-session" },
        csrf: { type: "apiKey", in: "header", name: "x-csrf-token" },
      },
    },
  };
}
