/**
 * Freezing a running guest's file systems by its agent, for the instant of a copy, and thawing them again,
 * whatever happens. That they are frozen is written down before they are, and taken back once they are not:
 * a supervisor that ends in between leaves that to the next, as does an agent that stopped answering.
 *
 * @module
 */
import { delay } from "@std/async";
import { whileFrozen } from "../agent/client.ts";
import type { AgentWatch } from "../agent/watch.ts";
import { messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Launcher } from "./launcher.ts";
import { type Run, runningRun } from "./run.ts";
import type { Work } from "./tasks.ts";

/** How long an agent may take to freeze, and to thaw. */
const FREEZE_MS = 10_000;
/** How long the agent of a guest that goes on with frozen file systems may take until they are thawed. */
const THAWED_MS = 60_000;
const LOOK_MS = 50;

export interface FreezeGround {
  agents: AgentWatch;
  launcher: Pick<Launcher, "agentSocket">;
}

/** Why a guest's file systems cannot be frozen; null where it may be tried. */
export function whyNotFreeze({ phase, process, record }: GuestLife): string | null {
  const cannot = `Cannot freeze the file systems of "${record.name}"`;
  if (phase !== "running") return `${cannot}: it is ${phase}`;
  return process?.run.hasAgent ? null : `${cannot}: it has no channel to an agent`;
}

/** File systems that an agent was asked to freeze. */
export class Freezing {
  readonly #frozen = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();
  readonly #over: Promise<void>;

  /** Asks the agent; {@linkcode Freezing.end} must be called, whatever comes of it. */
  constructor(life: GuestLife, ground: FreezeGround) {
    const run = runningRun(life.process);
    const why = whyNotFreeze(life);
    this.#over = why === null
      ? ground.agents.inTurn(life.record.id, () => this.#hold(life, { ...ground, run }))
      : Promise.reject(problem("wrong_state", why));
    this.#over.catch((error) => this.#frozen.reject(error));
    // Who does not wait for it is told at the end.
    this.#frozen.promise.catch(() => {});
  }

  /** Resolves once they are frozen; throws where they are not. */
  get frozen(): Promise<void> {
    return this.#frozen.promise;
  }

  async #hold({ record }: GuestLife, { launcher, run }: FreezeGround & { run: Run }) {
    let wasFrozen = false;
    const options = { limitMs: FREEZE_MS, frozen: (is: boolean) => run.setFrozen(is) };
    try {
      await whileFrozen(launcher.agentSocket(record.id), options, () => {
        wasFrozen = true;
        this.#frozen.resolve();
        return this.#released.promise;
      });
    } catch (error) {
      if (wasFrozen) throw error;
      throw problem(
        "busy",
        `Cannot freeze the file systems of "${record.name}": ${messageOf(error)}`,
      );
    }
  }

  /** Has them thawed, and resolves when they are; throws where they may not be, or never were frozen. */
  async end(): Promise<void> {
    this.#released.resolve();
    await this.#over;
  }
}

/**
 * Resolves once a guest that went on with frozen file systems, if it did, has had them thawed, which its
 * agent is asked for as soon as it runs (`agent/watch.ts`); throws where that takes too long, and it still is,
 * or where it is given up meanwhile.
 */
export async function thawed(
  life: GuestLife,
  { signal, phase, withinMs = THAWED_MS }:
    & Pick<Work, "signal">
    & Partial<Pick<Work, "phase">>
    & { withinMs?: number },
): Promise<void> {
  if (!life.process?.run.isFrozen) return;
  phase?.("Thawing file systems", { final: true });
  const late = Date.now() + withinMs;
  while (life.isUp && life.process?.run.isFrozen) {
    if (Date.now() > late) {
      throw problem(
        "busy",
        `Cannot thaw the file systems of "${life.record.name}", which it has gone on with: its agent ` +
          "does not answer. They will be once it does, or after a reset",
      );
    }
    await delay(LOOK_MS, { signal });
  }
}
