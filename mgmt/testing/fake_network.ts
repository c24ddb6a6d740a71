/**
 * The network of a host that is only made up: a change is tried for as long as a test wants.
 *
 * @module
 */
import { type HostNetwork, Network } from "../../hypervisor/supervisor/api/schemas.ts";
import { problem } from "./fake_problem.ts";

export class FakeNetwork {
  kept: Network = Network.parse({});
  trialSeconds = 60;
  problem: string | null = null;
  #trial: { network: Network; until: number } | null = null;

  tell(): HostNetwork {
    if (this.#trial && this.#trial.until <= Date.now()) {
      this.#trial = null;
      this.problem = "The change was undone, for nobody confirmed it";
    }
    return {
      network: this.kept,
      trial: this.#trial && {
        network: this.#trial.network,
        secondsLeft: Math.ceil((this.#trial.until - Date.now()) / 1000),
      },
      cards: [
        { name: "eth0", mac: "52:54:00:00:00:01", hasCarrier: true },
        { name: "eth1", mac: "52:54:00:00:00:02", hasCarrier: false },
      ],
      problem: this.problem,
    };
  }

  /** The answer to a request below /host/network; null for all others. */
  async answer(request: Request, path: string): Promise<Response | null> {
    switch (`${request.method} ${path}`) {
      case "GET /host/network":
        return Response.json(this.tell());
      case "PUT /host/network":
        this.problem = null;
        this.#trial = {
          network: Network.parse(await request.json()),
          until: Date.now() + this.trialSeconds * 1000,
        };
        return Response.json(this.tell(), { status: 202 });
      case "POST /host/network/confirm":
      case "POST /host/network/undo":
        if (this.#trial === null) throw problem(422, "network_refused", "None is being tried");
        if (path.endsWith("confirm")) this.kept = this.#trial.network;
        this.#trial = null;
        return Response.json(this.tell());
    }
    return null;
  }
}
