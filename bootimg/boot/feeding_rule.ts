/**
 * When the watchdog is fed. Nothing of this runs where process 1 hangs, which is what a watchdog is
 * for; the rule is for a supervisor that nobody can bring back.
 *
 * @module
 */

/**
 * How long the supervisor may be without an answer. It is started again when it dies, and killed when
 * it hangs, long before; guests run on without it, and a reset ends them.
 */
export const SUPERVISOR_LIMIT_MS = 10 * 60_000;
/** How long the end of the host may take: guests have four minutes if some
 * are saved, services seconds. */
export const ENDING_LIMIT_MS = 5 * 60_000;

/** Times are milliseconds of one clock. */
export class FeedingRule {
  /**
   * Null until the supervisor has answered once: one that does not come up at all would not come up
   * after a reset either, and the host would start for ever.
   */
  #lastAnswer: number | null = null;
  #endingSince: number | null = null;

  /** The supervisor has answered. */
  answered(now: number): void {
    this.#lastAnswer = now;
  }

  /** The host is to end: services are stopped on purpose from here on. */
  ending(now: number): void {
    this.#endingSince ??= now;
  }

  mayFeed(now: number): boolean {
    if (this.#endingSince !== null) return now - this.#endingSince < ENDING_LIMIT_MS;
    return this.#lastAnswer === null || now - this.#lastAnswer < SUPERVISOR_LIMIT_MS;
  }
}

/** A process that answers nothing for this long hangs. */
export const HANG_MS = 2 * 60_000;
/** One that has not answered since it was started may be slow to start. */
export const START_MS = 5 * 60_000;

/** Whether a service is to be killed so that it is started again. */
export function hangs(
  { now, startedAt, answeredAt }: {
    now: number;
    /** When its process was started; null where none runs. */
    startedAt: number | null;
    answeredAt: number | null;
  },
): boolean {
  if (startedAt === null) return false;
  if (answeredAt === null || answeredAt < startedAt) return now - startedAt >= START_MS;
  return now - answeredAt >= HANG_MS;
}
