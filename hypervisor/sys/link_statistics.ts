/**
 * What an interface has counted.
 *
 * @module
 */

const COUNTERS = [
  "rx_packets",
  "rx_bytes",
  "rx_dropped",
  "rx_errors",
  "tx_packets",
  "tx_bytes",
  "tx_dropped",
  "tx_errors",
] as const;

/** Of the host's end: what a guest sends, its tap receives. */
export type LinkStatistics = Record<typeof COUNTERS[number], number>;

/** Since the interface was made; undefined where there is no such interface in sight. */
export function linkStatistics(name: string): LinkStatistics | undefined {
  try {
    const read = (counter: string) =>
      Number(Deno.readTextFileSync(`/sys/class/net/${name}/statistics/${counter}`));
    return Object.fromEntries(COUNTERS.map((name) => [name, read(name)])) as LinkStatistics;
  } catch {
    return undefined;
  }
}
