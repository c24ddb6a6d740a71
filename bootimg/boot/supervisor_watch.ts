/**
 * Asks the supervisor how it does, again and again: for the screen, for the watchdog, and to have one
 * that hangs started again.
 *
 * @module
 */
import { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import { hangs } from "./feeding_rule.ts";
import { log } from "./log.ts";
import type { Service } from "./service.ts";

export interface SupervisorWatchOptions {
  /** The supervisor's local socket. */
  socket: string;
  service: Pick<Service, "startedAt" | "kill">;
  /** Told each answer, and null where none has come for a while. */
  onHealth: (health: Health | null) => void;
  everyMs?: number;
  answerMs?: number;
}

const EVERY_MS = 5_000;
/** An emulated host is slow, and one whose disk is slow, too. */
const ANSWER_MS = 20_000;
/** As long as the screen goes by the last answer. */
const STALE_MS = 30_000;

/** Looks for as long as the host runs; the function that comes back ends it. */
export function watchSupervisor(options: SupervisorWatchOptions): () => void {
  const { socket, service, onHealth, everyMs = EVERY_MS, answerMs = ANSWER_MS } = options;
  let answeredAt: number | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const look = async () => {
    try {
      const health = await askHealth(socket, answerMs);
      answeredAt = performance.now();
      if (!isOver) onHealth(health);
    } catch {
      // It is starting, or does not run: whoever runs it tells of that.
    }
    if (isOver) return;
    const now = performance.now();
    if (answeredAt === null || now - answeredAt > STALE_MS) onHealth(null);
    if (hangs({ now, startedAt: service.startedAt, answeredAt })) {
      log("the supervisor does not answer; starting it again", "error");
      service.kill();
    }
    timer = setTimeout(look, everyMs);
  };
  void look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

async function askHealth(socket: string, limitMs: number): Promise<Health> {
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  const init: RequestInit & { client: Deno.HttpClient } = {
    client,
    signal: AbortSignal.timeout(limitMs),
  };
  const response = await fetch("http://supervisor/api/v1/host/health", init);
  if (!response.ok) throw new Error(`Cannot ask the supervisor: it answered ${response.status}`);
  return Health.parse(await response.json());
}
