/**
 * Which guests have an agent to ask.
 *
 * @module
 */
import type { AgentHolder } from "../agent/watch.ts";
import type { AgentFacts } from "../api/schemas.ts";
import type { GuestLife } from "./guest_life.ts";
import type { Launcher } from "./launcher.ts";

/** Guests that run and have a channel to an agent. */
export function agentHolders(lives: Iterable<GuestLife>, launcher: Launcher): AgentHolder[] {
  return [...lives].flatMap((life) => {
    const { startedAt, process } = life;
    if (startedAt === null || life.phase !== "running" || !process?.run.hasAgent) return [];
    const { id } = life.record;
    const tell = (facts: AgentFacts | null) => {
      // Another run's agent tells for itself.
      if (life.process === process) life.setAgentFacts(facts);
    };
    const { run } = process;
    return [{
      ...{ id, startedAt, socket: launcher.agentSocket(id), facts: life.agentFacts, tell },
      isFrozen: () => run.isFrozen,
      thawed: () => run.setFrozen(false),
    }];
  });
}
