/** What is chosen of a guest's processors, as a person writes it into one field. */

interface Topology {
  sockets: number;
  cores: number;
  threads: number;
}

/** "1x4x2": sockets, cores in each, threads in each; null for nothing, undefined for nonsense. */
export function topologyFrom(text: string): Topology | null | undefined {
  if (text.trim() === "") return null;
  const match = /^\s*(\d{1,3})\s*[x×]\s*(\d{1,3})\s*[x×]\s*(\d{1,3})\s*$/i.exec(text);
  if (match === null) return undefined;
  const [sockets, cores, threads] = match.slice(1).map(Number);
  return { sockets, cores, threads };
}

export function topologyWords(topology: Topology | null): string {
  return topology === null ? "" : `${topology.sockets}x${topology.cores}x${topology.threads}`;
}

/** "0, 2+3": the host's CPUs for each of the guest's; undefined for nonsense. */
export function pinningFrom(text: string): number[][] | undefined {
  const plain = text.replaceAll(/\s/g, "");
  if (plain === "") return [];
  if (!/^(\d{1,4}(\+\d{1,4})*)?(,(\d{1,4}(\+\d{1,4})*)?)*$/.test(plain)) return undefined;
  return plain.split(",").map((list) => list === "" ? [] : list.split("+").map(Number));
}

export function pinningWords(pinning: number[][]): string {
  return pinning.map((list) => list.join("+")).join(", ");
}
