/**
 * How a guest's CPUs make up cores and sockets, and the APIC ids that say so.
 *
 * @module
 */

export interface Topology {
  sockets: number;
  /** In each socket. */
  cores: number;
  /** In each core. */
  threads: number;
}

/** Every CPU a core of its own in one package. */
export function flatTopology(cpus: number): Topology {
  return { sockets: 1, cores: cpus, threads: 1 };
}

const bitsFor = (count: number) => Math.ceil(Math.log2(count));

/** How many low bits of an APIC id number the threads of a core, and the CPUs of a socket. */
export function apicIdBits({ cores, threads }: Topology): { thread: number; socket: number } {
  const thread = bitsFor(threads);
  return { thread, socket: thread + bitsFor(cores) };
}

/** The APIC id of CPU `index`: threads of a core follow each other, then cores of a socket. */
export function apicId(topology: Topology, index: number): number {
  const { cores, threads } = topology;
  const bits = apicIdBits(topology);
  const thread = index % threads;
  const core = Math.floor(index / threads) % cores;
  const socket = Math.floor(index / threads / cores);
  return socket << bits.socket | core << bits.thread | thread;
}
