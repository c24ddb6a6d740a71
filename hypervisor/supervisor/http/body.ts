/**
 * Reads a request's JSON body: of bounded size and depth, and checked by the route's schema.
 *
 * @module
 */
import type * as z from "zod";
import { explainIssue } from "../api/field_errors.ts";
import { problem } from "../problem.ts";

/** More than the longest body that the schemas allow. */
export const MAX_BODY_BYTES = 384 * 1024;
/** The same, of those that somebody may send who has not signed in. */
export const MAX_OPEN_BODY_BYTES = 64 * 1024;
/** Deeper than any schema goes. */
export const MAX_DEPTH = 16;
/** No error lists more fields than a person would read. */
const MAX_FIELDS = 20;

const HINT = "See /api/v1/openapi.json for what it takes";

function invalid(message: string, fields?: { path: string; message: string }[]) {
  return problem("invalid_body", `Cannot read the body: ${message}`, { fields });
}

function tooLarge(maxBytes: number) {
  return problem("body_too_large", `Cannot read the body: it is over ${maxBytes} bytes`);
}

/** The body's bytes, read no further than the limit. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream, so what is not read is not kept either.
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** How deep arrays and objects nest in JSON text, without building them. */
export function jsonDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (inString) {
      if (character === "\\") i++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth);
    else if (character === "}" || character === "]") depth--;
  }
  return deepest;
}

/** A value out of the text of a body. */
export function parseBody<T>(schema: z.ZodType<T>, text: string): T {
  if (jsonDepth(text) > MAX_DEPTH) throw invalid(`it nests deeper than ${MAX_DEPTH} levels`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(`it is not JSON. ${HINT}`);
  }
  const result = schema.safeParse(value, { error: explainIssue });
  if (result.success) return result.data;
  const fields = result.error.issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
    return issue.keys.map((key) => ({
      path: path === "" ? key : `${path}.${key}`,
      message: "is not a field of this body",
    }));
  }).slice(0, MAX_FIELDS);
  const listed = fields.map(({ path, message }) => path === "" ? message : `${path}: ${message}`);
  throw invalid(`${listed.join("; ")}. ${HINT}`, fields);
}

/** The request's body as `schema` says; an empty one counts as `{}` where that is `optional`. */
export async function readBody<T>(
  request: Request,
  schema: z.ZodType<T>,
  options: { optional?: boolean; maxBytes?: number } = {},
): Promise<T> {
  const type = request.headers.get("content-type");
  const isJson = type !== null && /^application\/json\s*(;|$)/i.test(type);
  if (!isJson && !(options.optional && type === null)) {
    throw problem(
      "wrong_media_type",
      `Cannot read the body: its content-type must be application/json and is ${type ?? "missing"}`,
    );
  }
  const bytes = await readBytes(request, options.maxBytes ?? MAX_BODY_BYTES);
  if (bytes.length === 0 && options.optional) return parseBody(schema, "{}");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid("it is not UTF-8");
  }
  return parseBody(schema, text);
}
