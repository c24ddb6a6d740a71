/**
 * Waiting with an end, for process 1 must never wait for ever.
 *
 * @module
 */

/** Waits until `work` is done, but no longer than `ms`; returns whether it is, or throws what it throws. */
export async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, ms, false);
  try {
    return await Promise.race([work.then(() => true), promise]);
  } finally {
    clearTimeout(timer);
  }
}
