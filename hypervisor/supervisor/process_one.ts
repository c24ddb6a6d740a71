/**
 * Asking process 1 of the appliance for what is the host's own: it outlives the supervisor.
 *
 * @module
 */
import * as z from "zod";
import { problem, type ProblemCode } from "./problem.ts";

const Refusal = z.object({ message: z.string() });

/** What is asked of process 1, and how its answer is read. */
export interface Asked<T extends z.ZodType> {
  method: string;
  path: string;
  body?: unknown;
  answer: T;
  /** The code of the problem that a refusal of its is. */
  refused: ProblemCode;
  limitMs: number;
}

/** Process 1, on its socket; null where the host is no appliance. */
export class ProcessOne {
  readonly #socket: string | null;

  constructor(socket: string | null) {
    this.#socket = socket;
  }

  get isThere(): boolean {
    return this.#socket !== null;
  }

  /** Asks; `what` is what a host that is no appliance cannot do, such as "show or change the network". */
  async ask<T extends z.ZodType>(what: string, asked: Asked<T>): Promise<z.output<T>> {
    const { method, path, body, answer, refused, limitMs } = asked;
    if (this.#socket === null) {
      throw problem(
        "not_an_appliance",
        `Cannot ${what}: this host is no appliance, so it is not ours`,
      );
    }
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: this.#socket } });
    const init: RequestInit & { client: Deno.HttpClient } = {
      client,
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(limitMs),
    };
    const response = await fetch(`http://localhost${path}`, init);
    const told = await response.json();
    if (response.ok) return answer.parse(told);
    const { message } = Refusal.parse(told);
    throw response.status === 422 ? problem(refused, message) : new Error(message);
  }
}
