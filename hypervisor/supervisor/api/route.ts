/**
 * What a route of the API is.
 *
 * @module
 */
import type * as z from "zod";

/**
 * Who may call a route: `anyone`; holders of a `session`, and the local socket; the `local` socket
 * alone.
 */
export type Access = "anyone" | "session" | "local";

/** What a route answers with besides JSON. */
export type Stream = "events" | "websocket" | "lines" | "file";

export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the API's base; `:name` stands for one segment. */
  path: `/${string}`;
  summary: string;
  access: Access;
  params?: Record<string, z.ZodType<string>>;
  /** What may stand behind the path's "?"; other names are refused. */
  query?: Record<string, z.ZodType>;
  /** A JSON body, or "bytes" for an upload. */
  body?: z.ZodType | "bytes";
  /** A body may be left out: it then counts as `{}`. */
  bodyOptional?: boolean;
  status: number;
  /** Null where there is nothing to tell. */
  answer: z.ZodType | null;
  stream?: Stream;
  /** The codes of the problems that belong to this route in particular. */
  problems?: readonly string[];
}
