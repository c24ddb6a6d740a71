/**
 * The host's own network, which process 1 of the appliance runs: it outlives the supervisor, and so
 * does the clock by which a change is undone.
 *
 * @module
 */
import { HostNetwork, type Network } from "./api/network_schemas.ts";
import type { ProcessOne, Question } from "./process_one.ts";

/** Asks process 1. */
export class ApplianceNetwork {
  readonly #processOne: ProcessOne;

  constructor(processOne: ProcessOne) {
    this.#processOne = processOne;
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

  #ask(method: Question["method"], path: string, body?: Network): Promise<HostNetwork> {
    const question = { what: "the network", refused: "network_refused" } as const;
    return this.#processOne.ask({ ...question, method, path, body }, HostNetwork);
  }
}
