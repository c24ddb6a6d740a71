/**
 * The host's own network, which process 1 of the appliance runs: it outlives the supervisor, and so
 * does the clock by which a change is undone.
 *
 * @module
 */
import * as z from "zod";
import { HostNetwork, type Network } from "./api/network_schemas.ts";
import { problem } from "./problem.ts";

const Refusal = z.object({ message: z.string() });
/** Process 1 answers before it changes anything. */
const LIMIT_MS = 10_000;

/** Asks process 1 on its socket; null where the host is no appliance. */
export class ApplianceNetwork {
  readonly #socket: string | null;

  constructor(socket: string | null) {
    this.#socket = socket;
  }

  get(): Promise<HostNetwork> {
    return this.#ask("GET", "/network");
  }

  try(network: Network): Promise<HostNetwork> {
    return this.#ask("PUT", "/network", network);
  }

  confirm(): Promise<HostNetwork> {
    return this.#ask("POST", "/network/confirm");
  }

  undo(): Promise<HostNetwork> {
    return this.#ask("POST", "/network/undo");
  }

  async #ask(method: string, path: string, body?: Network): Promise<HostNetwork> {
    if (this.#socket === null) {
      throw problem(
        "not_an_appliance",
        "Cannot show or change the network: this host is no appliance, so its network is not ours",
      );
    }
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: this.#socket } });
    const init: RequestInit & { client: Deno.HttpClient } = {
      client,
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(LIMIT_MS),
    };
    const response = await fetch(`http://localhost${path}`, init);
    const answer = await response.json();
    if (response.ok) return HostNetwork.parse(answer);
    const { message } = Refusal.parse(answer);
    throw response.status === 422 ? problem("network_refused", message) : new Error(message);
  }
}
