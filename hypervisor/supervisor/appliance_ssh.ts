/**
 * The host's SSH, which process 1 of the appliance runs: it is for who has no supervisor any more.
 *
 * @module
 */
import { HostSsh, type HostSshChange } from "./api/ssh_schemas.ts";
import type { ProcessOne, Question } from "./process_one.ts";

/** Asks process 1. */
export class ApplianceSsh {
  readonly #processOne: ProcessOne;

  constructor(processOne: ProcessOne) {
    this.#processOne = processOne;
  }

  get(): Promise<HostSsh> {
    return this.#ask("GET");
  }

  change(body: HostSshChange): Promise<HostSsh> {
    return this.#ask("PUT", body);
  }

  #ask(method: Question["method"], body?: HostSshChange): Promise<HostSsh> {
    const question = { what: "SSH", refused: "ssh_refused", path: "/ssh" } as const;
    return this.#processOne.ask({ ...question, method, body }, HostSsh);
  }
}
