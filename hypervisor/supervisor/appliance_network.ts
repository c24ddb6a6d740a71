/**
 * The host's own network, which process 1 of the appliance runs: it outlives the supervisor, and so
 * does the clock by which a change is undone.
 *
 * @module
 */
import { HostNetwork, type Network } from "./api/network_schemas.ts";
import type { ProcessOne } from "./process_one.ts";

/** Process 1 answers before it changes anything. */
const LIMIT_MS = 10_000;

export class ApplianceNetwork {
  readonly #one: ProcessOne;

  constructor(one: ProcessOne) {
    this.#one = one;
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

  #ask(method: string, path: string, body?: Network): Promise<HostNetwork> {
    return this.#one.ask("show or change the network", {
      ...{ method, path, body, answer: HostNetwork, refused: "network_refused", limitMs: LIMIT_MS },
    });
  }
}
