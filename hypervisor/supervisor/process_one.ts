/**
 * Process 1 of the appliance, which the supervisor asks on a socket for what only that has: the
 * network, the log, the settings. It outlives the supervisor.
 *
 * @module
 */
import * as z from "zod";
import { problem, type ProblemCode } from "./problem.ts";

const Refusal = z.object({ message: z.string() });
/** It answers before it changes anything. */
const LIMIT_MS = 10_000;

export interface Question {
  method?: "GET" | "PUT" | "POST";
  path: string;
  query?: Record<string, unknown>;
  body?: unknown;
  /** What the host has that only process 1 can show, for who asks on a host without. */
  what: string;
  /** The code of its refusals. */
  refused: ProblemCode;
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
    const response = await this.#send(client, question, AbortSignal.timeout(LIMIT_MS));
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

  #client({ what }: Question): Deno.HttpClient {
    if (this.#socket === null) {
      throw problem("not_an_appliance", `Cannot show or change ${what}: this host is no appliance`);
    }
    return Deno.createHttpClient({ proxy: { transport: "unix", path: this.#socket } });
  }

  async #send(
    client: Deno.HttpClient,
    { method = "GET", path, query = {}, body, refused }: Question,
    signal: AbortSignal,
  ): Promise<Response> {
    const url = new URL(path, "http://localhost");
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const init: RequestInit & { client: Deno.HttpClient } = {
      ...{ client, method, signal },
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    const response = await fetch(url, init);
    if (response.ok) return response;
    const { message } = Refusal.parse(await response.json());
    throw response.status === 422 ? problem(refused, message) : new Error(message);
  }
}
