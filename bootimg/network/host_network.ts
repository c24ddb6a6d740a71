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
import {
  bareBridge,
  chooseCard,
  type Layout,
  layOut,
  namedCards,
  NOTHING,
  wantsAny,
} from "./layout.ts";
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

interface Trial {
  network: Network;
  until: number;
  timers: Timer[];
  /** The card that "any" was before, which an end of the trial goes back to. */
  any: string | null;
  /** Whether all its steps are done. */
  isInForce: boolean;
}

/** The links of this host; one change at a time. */
export class HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #clients = new Map<string, { client: DhcpClient; stop: () => Promise<void> }>();
  #kept: Network;
  #trial: Trial | null = null;
  /** What links are to be: a trial's only once the answer to its author had time to leave. */
  #wanted: Network;
  #undone: string | null = null;
  #layout: Layout = NOTHING;
  #failed: string[] = [];
  /** Why bridges that should be gone are not. */
  readonly #held = new Map<string, string>();
  #any: string | null = null;
  #seenFirst: number | null = null;
  #lookTimer: Timer | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: HostNetworkOptions) {
    this.#options = options;
    this.#kept = options.network;
    this.#wanted = options.network;
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
    const problems = [this.#undone, this.#problem()].filter((it) => it !== null);
    return { network: this.#kept, trial, cards, problem: problems.join(". ") || null };
  }

  /** Makes links what they should be; for who sees that cards came or went. */
  async settle(): Promise<void> {
    await this.#inTurn(() => this.#settle());
  }

  /** Tries another network, from a moment on; who hears nothing of it any more does not confirm it. */
  try(network: Network): Told {
    this.#refuse(network);
    const { confirmMs = CONFIRM_SECONDS * 1000, graceMs = GRACE_MS } = this.#options;
    const any = this.#trial ? this.#trial.any : this.#any;
    this.#clearTrial();
    this.#undone = null;
    const until = performance.now() + confirmMs;
    const trial: Trial = { network, until, timers: [], any, isInForce: false };
    this.#trial = trial;
    const undo = (why: string) => this.#trial === trial && this.#undo(why);
    trial.timers = [
      setTimeout(async () => {
        const [failure] = await this.#inTurn(() => this.#apply(trial));
        if (failure !== undefined) undo(`The change was undone: ${failure}`);
        else trial.isInForce = true;
      }, graceMs),
      setTimeout(() => undo("The change was undone, for nobody confirmed it"), confirmMs),
    ];
    return this.tell();
  }

  /**
   * Keeps what is tried. Where it cannot be kept, it stays tried. Before it is in force it is refused:
   * who asks then has not been reached by it.
   */
  confirm(): Told {
    const { network, isInForce } = this.#trial ?? nothingTried();
    if (!isInForce) {
      throw new NetworkRefusal("Cannot confirm the change of the network: it is not in force yet");
    }
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
    if (this.#trial && this.#wanted !== this.#kept) this.#any = this.#trial.any;
    this.#wanted = this.#kept;
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
    for (const [name, why] of this.#inUse(network)) {
      // What is to be gone already is in nobody's way.
      if (!this.#held.has(name)) throw new NetworkRefusal(why);
    }
  }

  /** The bridges that a network has no more, and that guests are in, each with its reason to stay. */
  #inUse({ bridges }: Network): [name: string, why: string][] {
    return this.#layout.bridges.flatMap(({ name, port }): [string, string][] => {
      if (bridges.some((it) => it.name === name)) return [];
      const { length } = this.#options.ground.portsOf(name).filter((it) => it !== port);
      if (length === 0) return [];
      const cards = `${length} network card${length === 1 ? "" : "s"}`;
      return [[
        name,
        `Cannot remove the bridge ${name}: ${cards} of guests ${length === 1 ? "is" : "are"} in it`,
      ]];
    });
  }

  /** Does one thing after the other; returns what fails. */
  #inTurn(act: () => Promise<string[]>): Promise<string[]> {
    const done = this.#turn.then(act).catch((error) => {
      this.#failed.push(reasonOf(error));
      return [reasonOf(error)];
    });
    this.#turn = done;
    return done;
  }

  async #apply(trial: Trial): Promise<string[]> {
    if (this.#trial !== trial) return [];
    if (this.#wanted === this.#kept) trial.any = this.#any;
    this.#wanted = trial.network;
    return await this.#settle();
  }

  /** Returns what failed of it now: what failed before is told, but not a reason to undo a trial. */
  async #settle(): Promise<string[]> {
    if (this.#isClosed) return [];
    const { ground } = this.#options;
    const network = this.#wanted;
    const cards = ground.cards();
    this.#choose(network, cards);
    const layout = layOut(network, cards, { any: this.#any });
    const failures = this.#hold(layout, network);
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
        failures.push(reasonOf(error));
      }
    }
    for (const client of wanted) {
      if (this.#clients.has(client.bridge)) continue;
      this.#clients.set(client.bridge, { client, stop: ground.startDhcp(client) });
    }
    this.#options.onProblem(this.#problem());
    if (steps.length > 0) this.#options.onChange?.();
    return failures;
  }

  /** Leaves the bridges that guests came into meanwhile; returns why those stay that did not before. */
  #hold(layout: Layout, network: Network): string[] {
    const inUse = this.#inUse(network);
    const isNew = inUse.filter(([name]) => !this.#held.has(name));
    this.#held.clear();
    for (const [name, why] of inUse) {
      this.#held.set(name, why);
      layout.bridges.push(bareBridge(name));
    }
    return isNew.map(([, why]) => why);
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
    const missing = namedCards(this.#wanted).filter((mac) => !macs.includes(mac));
    if (missing.length > 0) return `The network lacks the card ${missing.join(", ")}`;
    return this.#held.values().next().value ?? null;
  }
}

function nothingTried(): never {
  throw new NetworkRefusal("Cannot confirm or undo a change of the network: none is being tried");
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
