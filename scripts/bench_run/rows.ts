/**
 * What is measured: a row for every figure, with what each contender made of it.
 *
 * @module
 */
import { median } from "./median.ts";

/** The benchmarks, in the order in which they run. */
export const BENCHES = [
  "exits",
  "start",
  "boot",
  "memory",
  "cpu",
  "block",
  "net",
  "density",
  "restore",
  "save",
  "forks",
  "migrate",
  "migrate-hosts",
  "upgrade",
] as const;

/** Those that need two PCs: for a person, others of the same names with `--hosts 2`. */
export const OVER_HOSTS: Partial<Record<BenchName, BenchName>> = { migrate: "migrate-hosts" };

/** One of {@linkcode BENCHES}. */
export type BenchName = typeof BENCHES[number];

/** Whom we are measured against. */
export const PEERS = ["microvm", "q35", "c"] as const;

/** One of {@linkcode PEERS}. */
export type Peer = typeof PEERS[number];

/** Who is measured. */
export type Contender = "denovisor" | Peer;

/** One figure. */
export interface Row {
  /** "4k random read, depth 1, O_DIRECT" */
  name: string;
  unit: string;
  better: "lower" | "higher";
  /** The ratio to each peer at which the row holds; at least as good as it (1) where none is named. */
  least?: Partial<Record<Peer, number>>;
  /** Nobody else has anything of the kind. */
  noPeer?: true;
  /** Every run of each contender; none for one that could not be measured. */
  runs: Partial<Record<Contender, number[]>>;
}

/** A peer at zero is not infinitely better or worse: figures this far apart are all one. */
const FARTHEST = 1000;

/** How our value compares to a peer's: 1 is equal, 2 is twice as good, whatever is better. */
export function ratioTo(row: Row, peer: Peer): number | undefined {
  const ours = row.runs.denovisor;
  const theirs = row.runs[peer];
  if (!ours?.length || !theirs?.length) return undefined;
  const [a, b] = row.better === "higher"
    ? [median(ours), median(theirs)]
    : [median(theirs), median(ours)];
  if (a === b) return 1;
  return b === 0 ? FARTHEST : Math.min(a / b, FARTHEST);
}

/** The ratio to the best of the peers, which is the least of the ratios. */
export function ratio(row: Row): number | undefined {
  const all = PEERS.map((peer) => ratioTo(row, peer)).filter((it) => it !== undefined);
  return all.length > 0 ? Math.min(...all) : undefined;
}

/** Whether the row reaches all that it must; undefined if there is nothing to compare with. */
export function holds(row: Row): boolean | undefined {
  const verdicts = PEERS.flatMap((peer) => {
    const it = ratioTo(row, peer);
    return it === undefined ? [] : [it >= (row.least?.[peer] ?? 1)];
  });
  return verdicts.length > 0 ? verdicts.every(Boolean) : undefined;
}
