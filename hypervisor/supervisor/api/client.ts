/**
 * The API's typed client, derived from the table of routes: for the command line, tests and whoever
 * else speaks to the API. It runs in browsers too.
 *
 * @module
 */
import {
  type AnswerOf,
  API_BASE,
  type BodyInput,
  type Operation,
  type ParamsOf,
  type QueryOf,
  type Route,
  ROUTES,
} from "./routes.ts";
import type { Image, ImageKind, Problem } from "./schemas.ts";

export interface ClientOptions {
  /** How to reach the API; the global one by default. */
  fetch?: typeof fetch;
  /** What the paths are appended to, such as "https://host"; nothing by default. */
  origin?: string;
  /** Sent with every request. */
  headers?: () => HeadersInit;
}

/** An answer that is a problem. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }
}

type Key<T, K extends string> = T extends undefined ? { [P in K]?: undefined }
  : Record<never, never> extends T ? { [P in K]?: T }
  : { [P in K]: T };

export type CallInput<O extends Operation> =
  & Key<ParamsOf<O>, "params">
  & Key<BodyInput<O>, "body">
  & { query?: QueryOf<O>; signal?: AbortSignal };

/** One event of the stream. */
export interface StreamEvent {
  name: string;
  data: unknown;
}

/** The path of an operation with its parameters filled in. */
export function pathOf<O extends Operation>(operation: O, params: ParamsOf<O>): string {
  const values = params as Record<string, string>;
  return API_BASE +
    ROUTES[operation].path.replace(/:(\w+)/g, (_, name) => encodeURIComponent(values[name]));
}

export class ApiClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions = {}) {
    this.#options = options;
  }

  /** Calls an operation; throws an {@linkcode ApiError} where the answer is a problem. */
  async call<O extends Operation>(operation: O, input: CallInput<O>): Promise<AnswerOf<O>> {
    const { params = {}, query, body, signal } = input as {
      params?: ParamsOf<O>;
      query?: QueryOf<O>;
      body?: unknown;
      signal?: AbortSignal;
    };
    const response = await this.#send(operation, params as ParamsOf<O>, {
      signal,
      query,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      }),
    });
    const text = await response.text();
    return (text === "" ? undefined : JSON.parse(text)) as AnswerOf<O>;
  }

  /** Uploads an image. */
  async upload(
    image: { kind: ImageKind; name: string },
    body: BodyInit,
    options: { signal?: AbortSignal; size?: number } = {},
  ): Promise<Image> {
    const response = await this.#send("putImage", image, {
      body,
      signal: options.signal,
      headers: {
        "content-type": "application/octet-stream",
        ...(options.size !== undefined && { "x-upload-length": String(options.size) }),
      },
    });
    return await response.json();
  }

  /** Uploads a newer system for the host; resolves once the next restart tries it. */
  async uploadUpdate(
    body: BodyInit,
    options: { signature: string; size: number; signal?: AbortSignal },
  ): Promise<AnswerOf<"putUpdate">> {
    const { size, signal, signature: text } = options;
    const signature = base64url(text);
    const response = await this.#send("putUpdate", {}, {
      ...{ body, signal, query: { signature } },
      headers: { "content-type": "application/octet-stream", "x-upload-length": String(size) },
    });
    return await response.json();
  }

  /** A file that the host makes: its name, and its bytes as they come. */
  async download(
    operation: "getSupportBundle",
    options: { signal?: AbortSignal } = {},
  ): Promise<{ name: string; body: ReadableStream<Uint8Array<ArrayBuffer>> }> {
    const response = await this.#send(operation, {}, options);
    const [, name = "download"] =
      /filename="([\w.-]+)"/.exec(response.headers.get("content-disposition") ?? "") ?? [];
    return { name, body: response.body! };
  }

  /** The event stream, from its snapshot on, until `signal` aborts or the server ends it. */
  events(options: { signal?: AbortSignal } = {}): AsyncGenerator<StreamEvent> {
    return this.#events("events", options);
  }

  /** The stream of the host's log: each event's data is a `LogBatch`. */
  logEvents(
    options: { query?: QueryOf<"followLog">; signal?: AbortSignal } = {},
  ): AsyncGenerator<StreamEvent> {
    return this.#events("followLog", options);
  }

  async *#events<O extends "events" | "followLog">(
    operation: O,
    options: { query?: QueryOf<O>; signal?: AbortSignal },
  ): AsyncGenerator<StreamEvent> {
    const response = await this.#send(operation, {} as ParamsOf<O>, options);
    for await (const block of split(response.body!, "\n\n")) {
      const event = parseEvent(block);
      if (event !== null) yield event;
    }
  }

  /** An operation that answers with a line of JSON for each step. */
  async *lines<O extends "shutdownHost">(
    operation: O,
    input: CallInput<O>,
  ): AsyncGenerator<AnswerOf<O>> {
    const response = await this.#send(operation, {} as ParamsOf<O>, {
      body: JSON.stringify(input.body ?? {}),
      headers: { "content-type": "application/json" },
      signal: input.signal,
    });
    for await (const line of split(response.body!, "\n")) yield JSON.parse(line);
  }

  async #send<O extends Operation>(
    operation: O,
    params: ParamsOf<O>,
    { query, ...init }: RequestInit & { query?: QueryOf<O> },
  ): Promise<Response> {
    const { fetch = globalThis.fetch, origin = "", headers } = this.#options;
    const route: Route = ROUTES[operation];
    const all = new Headers(init.headers);
    new Headers(headers?.()).forEach((value, name) => all.set(name, value));
    const response = await fetch(origin + pathOf(operation, params) + searchOf(query), {
      ...init,
      method: route.method,
      headers: all,
    });
    if (response.ok) return response;
    throw new ApiError(response.status, await readProblem(response));
  }
}

/** A text of bytes as they stand in a query. */
export function base64url(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The names and values of a query that has some, as a URL has them. */
export function searchOf(query: Record<string, unknown> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, String(value)]);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

async function readProblem(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const problem = JSON.parse(text);
    if (typeof problem?.code === "string" && typeof problem.message === "string") return problem;
  } catch {
    // Whoever answered, it was not the API.
  }
  return { code: "unknown", message: `Cannot reach the API: it answered with ${response.status}` };
}

/** The parts of a stream of text between `separator`s; a part that is not ended is dropped. */
async function* split(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  separator: string,
): AsyncGenerator<string> {
  let pending = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (pending + value).split(separator);
      pending = parts.pop()!;
      yield* parts;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** One block of an event stream; null for a comment. */
export function parseEvent(block: string): StreamEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length === 0 ? null : { name, data: JSON.parse(data.join("\n")) };
}
