/**
 * The host's network as process 1 runs it: follows cards that come and go, and tries changes that are
 * undone unless somebody confirms them.
 *
 * @module
 */
import {
  CONFIRM_SECONDS,
  type HostNetwork as Told,
  type Network,
  type NetworkCard,
} from "../../hypervisor/supervisor/api/network_schemas.ts";
import { chooseCard, type Layout, layOut, namedCards, NOTHING, wantsAny } from "./layout.ts";
import { type DhcpClient, dhcpClients, planChange, type Step } from "./plan.ts";

/** What the network stands on: Linux, or what a test has instead. */
export interface Ground {
  /** The wired cards that there are now. */
  cards(): NetworkCard[];
  /** The links in a bridge. */
  portsOf(bridge: string): string[];
  /** Does one step; throws where it cannot be done. */
  run(step: Step): Promise<void>;
  /** Starts a client; the function that comes back ends it, and resolves once it has ended. */
  startDhcp(client: DhcpClient): () => Promise<void>;
}

export interface HostNetworkOptions {
  ground: Ground;
  /** What is in force without a trial. */
  network: Network;
  /** Keeps a network that was confirmed: once it returns, it is what the next start begins with. */
  keep: (network: Network) => void;
  /** Told what does not work, and null once all does. */
  onProblem: (problem: string | null) => void;
  /** Told when links were changed. */
  onChange?: () => void;
  /** For tests. */
  confirmMs?: number;
  graceMs?: number;
  lateMs?: number;
}

/** A change that cannot be tried, in words for who asked for it. */
export class NetworkRefusal extends Error {
  override readonly name = "NetworkRefusal";
}

/** The answer to who asks for a change gets this long to leave by the network as it was. */
const GRACE_MS = 1000;
/** How long a card may take to find out that a cable is plugged in. */
const LATE_MS = 5000;
/** Linux tells nobody when a cable is found. */
const LOOK_MS = 100;

type Timer = ReturnType<typeof setTimeout>;

/** The links of this host; one change at a time. */
export class HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #clients = new Map<string, { client: DhcpClient; stop: () => Promise<void> }>();
  #kept: Network;
  /** With the card that "any" was before, which an end of the trial goes back to. */
  #trial: { network: Network; until: number; timers: Timer[]; any: string | null } | null = null;
  #undone: string | null = null;
  #layout: Layout = NOTHING;
  #failed: string[] = [];
  #any: string | null = null;
  #seenFirst: number | null = null;
  #lookTimer: Timer | undefined;
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: HostNetworkOptions) {
    this.#options = options;
    this.#kept = options.network;
  }

  /** The names of the bridges that there are. */
  get bridges(): string[] {
    return this.#layout.bridges.map(({ name }) => name);
  }

  /** The network as it is. */
  tell(): Told {
    const trial = this.#trial && {
      network: this.#trial.network,
      secondsLeft: Math.max(0, Math.ceil((this.#trial.until - performance.now()) / 1000)),
    };
    const cards = this.#options.ground.cards();
    return { network: this.#kept, trial, cards, problem: this.#problem() ?? this.#undone };
  }

  /** Makes links what they should be; for who sees that cards came or went. */
  settle(): Promise<void> {
    return this.#turn = this.#turn.then(() => this.#settle()).catch((error) => {
      this.#failed.push(reasonOf(error));
    });
  }

  /** Tries another network, from a moment on; who hears nothing of it any more does not confirm it. */
  try(network: Network): Told {
    this.#refuse(network);
    const { confirmMs = CONFIRM_SECONDS * 1000, graceMs = GRACE_MS } = this.#options;
    const any = this.#trial ? this.#trial.any : this.#any;
    this.#clearTrial();
    this.#undone = null;
    const trial = { network, until: performance.now() + confirmMs, timers: [] as Timer[], any };
    this.#trial = trial;
    const undo = (why: string) => this.#trial === trial && this.#undo(why);
    trial.timers = [
      setTimeout(async () => {
        await this.settle();
        if (this.#failed.length > 0) undo(`The change was undone: ${this.#failed[0]}`);
      }, graceMs),
      setTimeout(() => undo("The change was undone, for nobody confirmed it"), confirmMs),
    ];
    return this.tell();
  }

  /** Keeps what is tried. Where it cannot be kept, it stays tried. */
  confirm(): Told {
    const { network } = this.#trial ?? nothingTried();
    this.#options.keep(network);
    this.#kept = network;
    this.#clearTrial();
    return this.tell();
  }

  /** Gives up what is tried. */
  undo(): Told {
    if (this.#trial === null) nothingTried();
    this.#undo(null);
    return this.tell();
  }

  /** Leaves links as they are, but follows no more cards and undoes nothing. */
  close(): void {
    this.#isClosed = true;
    this.#clearTrial();
    clearTimeout(this.#lookTimer);
  }

  #undo(why: string | null): void {
    this.#undone = why;
    if (this.#trial) this.#any = this.#trial.any;
    this.#clearTrial();
    void this.settle();
  }

  #clearTrial(): void {
    this.#trial?.timers.forEach(clearTimeout);
    this.#trial = null;
  }

  #refuse(network: Network): void {
    const macs = this.#options.ground.cards().map(({ mac }) => mac);
    const missing = namedCards(network).find((mac) => !macs.includes(mac));
    if (missing) throw new NetworkRefusal(`Cannot use the card ${missing}: this host has none`);
    for (const { name, port } of this.#layout.bridges) {
      if (network.bridges.some((it) => it.name === name)) continue;
      const guests = this.#options.ground.portsOf(name).filter((it) => it !== port);
      if (guests.length > 0) {
        throw new NetworkRefusal(
          `Cannot remove the bridge ${name}: ${guests.length} network cards of guests are in it`,
        );
      }
    }
  }

  async #settle(): Promise<void> {
    if (this.#isClosed) return;
    const { ground } = this.#options;
    const network = this.#trial?.network ?? this.#kept;
    const cards = ground.cards();
    this.#choose(network, cards);
    const layout = layOut(network, cards, { any: this.#any });
    const steps = planChange(this.#layout, layout);
    const wanted = dhcpClients(layout);
    await this.#stopClients((client) =>
      !wanted.some((it) => JSON.stringify(it) === JSON.stringify(client))
    );
    if (steps.length > 0) this.#failed = [];
    this.#layout = layout;
    for (const step of steps) {
      try {
        await ground.run(step);
      } catch (error) {
        if (step.kind === "ip" && step.mayFail) continue;
        this.#failed.push(reasonOf(error));
      }
    }
    for (const client of wanted) {
      if (this.#clients.has(client.bridge)) continue;
      this.#clients.set(client.bridge, { client, stop: ground.startDhcp(client) });
    }
    this.#options.onProblem(this.#problem());
    if (steps.length > 0) this.#options.onChange?.();
  }

  async #stopClients(isDone: (client: DhcpClient) => boolean): Promise<void> {
    for (const [bridge, { client, stop }] of [...this.#clients]) {
      if (!isDone(client)) continue;
      this.#clients.delete(bridge);
      await stop();
    }
  }

  /** Chooses the card for the uplink "any", and looks again soon where that needs a cable first. */
  #choose(network: Network, cards: readonly NetworkCard[]): void {
    clearTimeout(this.#lookTimer);
    if (!wantsAny(network)) return;
    const { lateMs = LATE_MS } = this.#options;
    if (cards.length > 0) this.#seenFirst ??= performance.now();
    const isLate = this.#seenFirst !== null && performance.now() - this.#seenFirst >= lateMs;
    this.#any = chooseCard(network, cards, { before: this.#any, isLate });
    if (this.#any !== null || cards.length === 0 || isLate) return;
    this.#lookTimer = setTimeout(() => void this.settle(), Math.min(LOOK_MS, lateMs));
  }

  #problem(): string | null {
    if (this.#failed.length > 0) return this.#failed[0];
    const macs = this.#options.ground.cards().map(({ mac }) => mac);
    const missing = namedCards(this.#trial?.network ?? this.#kept)
      .filter((mac) => !macs.includes(mac));
    return missing.length === 0 ? null : `The network lacks the card ${missing.join(", ")}`;
  }
}

function nothingTried(): never {
  throw new NetworkRefusal("Cannot confirm or undo a change of the network: none is being tried");
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
