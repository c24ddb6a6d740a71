/**
 * Waits until a guest is up by its own account.
 *
 * @module
 */
import { AgentClient } from "../agent/client.ts";
import type { AgentWatch } from "../agent/watch.ts";
import { problem } from "../problem.ts";
import type { GuestLife } from "./guest_life.ts";
import { openSerial } from "./serial.ts";

export interface Readiness {
  agent: boolean;
  serial: string | null;
  withinSeconds: number;
}

export interface ReadyOptions {
  signal: AbortSignal;
  agents: AgentWatch;
  agentSocket: string;
  controlSocket: string;
  /** Between two questions to the agent, and for an answer; tests are less patient. */
  askEveryMs?: number;
}

const ASK_EVERY_MS = 1000;

/** Resolves once the guest is ready; throws where it is not in time, ends, or `signal` aborts. */
export async function untilReady(
  life: GuestLife,
  readiness: Readiness,
  options: ReadyOptions,
): Promise<void> {
  const { agent, serial, withinSeconds } = readiness;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), withinSeconds * 1000);
  const ends = { ...options, signal: AbortSignal.any([options.signal, late.signal]) };
  try {
    if (serial !== null) await serialSays(life, serial, ends);
    if (agent) await agentAnswers(life, ends);
  } catch (error) {
    if (!late.signal.aborted || options.signal.aborted) throw error;
    const what = serial !== null ? "its serial port or its agent" : "its agent";
    throw problem("busy", `Cannot wait for "${life.record.name}" any longer: ${what} says nothing`);
  } finally {
    clearTimeout(timer);
  }
}

function ended({ record: { name } }: GuestLife): Error {
  return problem("wrong_state", `Cannot wait for "${name}": it has ended`);
}

/** What it wrote before, of which a VMM keeps the last, counts. */
async function serialSays(life: GuestLife, text: string, options: ReadyOptions) {
  const wanted = new TextEncoder().encode(text);
  const { signal, controlSocket } = options;
  signal.throwIfAborted();
  using control = await openSerial(life, controlSocket);
  signal.throwIfAborted();
  signal.addEventListener("abort", control.close);
  try {
    let seen: Uint8Array = control.lines.rest();
    while (!includes(seen, wanted)) {
      const more = await control.lines.read().catch(() => null);
      signal.throwIfAborted();
      if (more === null) throw ended(life);
      // The end of what was seen may be the beginning of what is waited for.
      const rest = seen.subarray(Math.max(0, seen.length - wanted.length));
      const joined = new Uint8Array(rest.length + more.length);
      joined.set(rest);
      joined.set(more, rest.length);
      seen = joined;
    }
  } finally {
    signal.removeEventListener("abort", control.close);
  }
}

function includes(bytes: Uint8Array, wanted: Uint8Array): boolean {
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}

async function agentAnswers(life: GuestLife, options: ReadyOptions) {
  const { signal, agents, agentSocket, askEveryMs: limitMs = ASK_EVERY_MS } = options;
  const { id } = life.record;
  while (true) {
    signal.throwIfAborted();
    if (!life.isUp) throw ended(life);
    const ask = async () => (await AgentClient.connect(agentSocket, { limitMs }))[Symbol.dispose]();
    try {
      return await agents.inTurn(id, ask);
    } catch {
      await pause(limitMs, signal);
    }
  }
}

/** Waits so long, or until `signal` aborts. */
async function pause(ms: number, signal: AbortSignal) {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, ms);
  signal.addEventListener("abort", () => over.resolve());
  await over.promise;
  clearTimeout(timer);
}
