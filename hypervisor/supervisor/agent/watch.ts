/**
 * Asks the agents of guests that run who they are and where they can be reached, and has them thaw file
 * systems that were left frozen.
 *
 * @module
 */
import type { AgentFacts } from "../api/schemas.ts";
import { Turns } from "../lives/turns.ts";
import { AgentClient, thaw } from "./client.ts";
import { AgentRefusal } from "./replies.ts";

/** Between two tries, before an agent has answered and after. */
const SOON_MS = 10_000;
const LATER_MS = 60_000;
const LIMIT_MS = 5_000;

/** A guest that may have an agent. */
export interface AgentHolder {
  id: string;
  /** When its VMM started, so that another run is another guest to ask. */
  startedAt: number;
  socket: string;
  facts: AgentFacts | null;
  tell(facts: AgentFacts | null): void;
  /** Whether its file systems are to be thawed; while somebody has them frozen, nobody is asked. */
  isFrozen(): boolean;
  thawed(): void;
}

export interface AgentWatchOptions {
  /** Guests that run and have a channel. */
  holders: () => AgentHolder[];
  /** Tests are less patient. */
  soonMs?: number;
  laterMs?: number;
  limitMs?: number;
}

export class AgentWatch {
  readonly #options: AgentWatchOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  /** When to ask a run next. */
  readonly #due = new Map<string, number>();
  /** A port has room for one conversation. */
  readonly #turns = new Turns();

  constructor(options: AgentWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), Math.min(1000, options.soonMs ?? SOON_MS));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Runs `act` when nobody else speaks to the agent of `id`. */
  inTurn<T>(id: string, act: () => Promise<T>): Promise<T> {
    return this.#turns.take(id, act);
  }

  #look() {
    const holders = this.#options.holders();
    const runs = new Map(holders.map((it) => [`${it.id} ${it.startedAt}`, it]));
    for (const run of this.#due.keys()) if (!runs.has(run)) this.#due.delete(run);
    const now = Date.now();
    for (const [run, holder] of runs) {
      const due = this.#due.get(run) ?? 0;
      // One whose file systems are frozen waits for it.
      if (due === Infinity || (due > now && !holder.isFrozen())) continue;
      // Not again before this is over.
      this.#due.set(run, Infinity);
      this.inTurn(holder.id, () => this.#ask(holder)).catch(() => null).then((facts) => {
        const { soonMs = SOON_MS, laterMs = LATER_MS } = this.#options;
        this.#due.set(run, Date.now() + (facts === null ? soonMs : laterMs));
        if (JSON.stringify(facts) !== JSON.stringify(holder.facts)) holder.tell(facts);
      });
    }
  }

  async #ask({ socket, isFrozen, thawed }: AgentHolder): Promise<AgentFacts> {
    using agent = await AgentClient.connect(socket, {
      limitMs: this.#options.limitMs ?? LIMIT_MS,
    });
    if (isFrozen()) {
      await thaw(agent);
      thawed();
    }
    return {
      os: await unlessRefused(agent.os(), null),
      addresses: await unlessRefused(agent.addresses(), []),
    };
  }
}

/** Not every agent knows or allows every command. */
async function unlessRefused<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof AgentRefusal) return otherwise;
    throw error;
  }
}
