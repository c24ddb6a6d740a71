/**
 * A guest's streams by the ports of their two ends.
 *
 * @module
 */
import type { VsockConnection } from "./vsock_connection.ts";

/** With the most that each can keep, 32 MiB. */
export const MAX_CONNECTIONS = 256;

/** Ports of the host's programs that reach the guest: above all that anybody would listen at. */
const FIRST_PORT = 2 ** 30;
const LAST_PORT = 2 ** 31 - 1;

export class VsockTable {
  readonly #byHostPort = new Map<number, Map<number, VsockConnection>>();
  /** Those of which only the guest's acknowledgement is missing, which it may never send. */
  readonly #lingering = new Set<VsockConnection>();
  readonly #evict: (connection: VsockConnection) => void;
  #size = 0;
  #nextPort = FIRST_PORT;

  constructor(evict: (connection: VsockConnection) => void) {
    this.#evict = evict;
  }

  get size(): number {
    return this.#size;
  }

  get(hostPort: number, guestPort: number): VsockConnection | undefined {
    return this.#byHostPort.get(hostPort)?.get(guestPort);
  }

  /** Whether another one can be added, if need be instead of one that is over. */
  hasRoom(): boolean {
    const [over] = this.#lingering;
    if (this.#size >= MAX_CONNECTIONS && over !== undefined) this.#evict(over);
    return this.#size < MAX_CONNECTIONS;
  }

  add(connection: VsockConnection): void {
    const { hostPort, guestPort } = connection;
    let streams = this.#byHostPort.get(hostPort);
    if (streams === undefined) this.#byHostPort.set(hostPort, streams = new Map());
    streams.set(guestPort, connection);
    this.#size++;
  }

  remove(connection: VsockConnection): void {
    const { hostPort, guestPort } = connection;
    const streams = this.#byHostPort.get(hostPort);
    if (streams?.get(guestPort) !== connection) return;
    streams.delete(guestPort);
    if (streams.size === 0) this.#byHostPort.delete(hostPort);
    this.#lingering.delete(connection);
    this.#size--;
  }

  linger(connection: VsockConnection): void {
    this.#lingering.add(connection);
  }

  /** A port of the host that no stream has. */
  freePort(): number {
    for (;;) {
      const port = this.#nextPort;
      this.#nextPort = port === LAST_PORT ? FIRST_PORT : port + 1;
      if (!this.#byHostPort.has(port)) return port;
    }
  }

  *all(): Generator<VsockConnection> {
    for (const streams of this.#byHostPort.values()) yield* streams.values();
  }
}
