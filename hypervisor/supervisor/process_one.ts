/**
 * Process 1 of the appliance, which the supervisor asks on a socket for what only that has: the
 * network, the log, the settings. It outlives the supervisor.
 *
 * @module
 */
import * as z from "zod";
import { problem, type ProblemCode } from "./problem.ts";
import { sendFile } from "./send_file.ts";

const Refusal = z.object({ message: z.string() });
/** It answers before it changes anything. */
const LIMIT_MS = 10_000;

export interface Question {
  method?: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  path: string;
  query?: Record<string, unknown>;
  body?: unknown;
  /** What the host has that only process 1 can show, for who asks on a host without. */
  what: string;
  /** The code of its refusals. */
  refused: ProblemCode;
  /** How long it may take, where it does not answer before it has done something. */
  limitMs?: number;
}

export class ProcessOne {
  readonly #socket: string | null;

  /** Null where the host is no appliance. */
  constructor(socket: string | null) {
    this.#socket = socket;
  }

  get isThere(): boolean {
    return this.#socket !== null;
  }

  /** Asks it something; the answer is as `schema` says. */
  async ask<T>(question: Question, schema: z.ZodType<T>): Promise<T> {
    using client = this.#client(question);
    const { limitMs = LIMIT_MS } = question;
    const response = await this.#send(client, question, AbortSignal.timeout(limitMs));
    return schema.parse(await response.json());
  }

  /** The lines of an answer that has no end but `signal`. */
  async *lines<T>(
    question: Question,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    using client = this.#client(question);
    const response = await this.#send(client, question, signal);
    let rest = "";
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      for (const part of parts) yield schema.parse(JSON.parse(part));
    }
  }

  /** Has it take a file as that comes; the answer is as `schema` says. */
  async send<T>(
    question: Question,
    { signal, ...file }: {
      body: ReadableStream<Uint8Array>;
      bytes: number;
      signal?: AbortSignal;
    },
    schema: z.ZodType<T>,
  ): Promise<T> {
    const { method = "PUT", limitMs = LIMIT_MS, refused } = question;
    const { pathname, search } = urlOf(question);
    const { status, text } = await sendFile(this.#path(question), {
      ...{ ...file, method, path: pathname + search },
      signal: AbortSignal.any([AbortSignal.timeout(limitMs), ...signal ? [signal] : []]),
    });
    if (status < 200 || status > 299) throw refusal(status, JSON.parse(text), refused);
    return schema.parse(JSON.parse(text));
  }

  #path({ what }: Question): string {
    if (this.#socket !== null) return this.#socket;
    throw problem("not_an_appliance", `Cannot show or change ${what}: this host is no appliance`);
  }

  #client(question: Question): Deno.HttpClient {
    return Deno.createHttpClient({ proxy: { transport: "unix", path: this.#path(question) } });
  }

  async #send(
    client: Deno.HttpClient,
    question: Question,
    signal: AbortSignal,
  ): Promise<Response> {
    const { method = "GET", body, refused } = question;
    const url = urlOf(question);
    const init: RequestInit & { client: Deno.HttpClient } = {
      ...{ client, method, signal },
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    const response = await fetch(url, init);
    if (response.ok) return response;
    throw refusal(response.status, await response.json(), refused);
  }
}

function urlOf({ path, query = {} }: Question): URL {
  const url = new URL(path, "http://localhost");
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

/** What it says to who asks for what cannot be is for that one to read; what it fails in is not. */
function refusal(status: number, answer: unknown, code: ProblemCode): Error {
  const { message } = Refusal.parse(answer);
  return status >= 400 && status < 500 ? problem(code, message) : new Error(message);
}
