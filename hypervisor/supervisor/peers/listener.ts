/**
 * Where other hosts connect to this one.
 *
 * @module
 */
import { type Log, messageOf } from "../log.ts";
import type { PeerRecord } from "../store/peers.ts";
import type { Address } from "./address.ts";
import { PeerChannel } from "./channel.ts";
import { PeerError } from "./frames.ts";
import { receive, type Receptionist, type Stranger } from "./greeting.ts";

/** How many may be connected that have not shown who they are; more are hung up on. */
const MOST_STRANGERS = 16;
/** How many connections a host that is known may have: a few for each guest that moves. */
const MOST_CONNECTIONS = 64;
/** By then whoever connects has shown who it is, in milliseconds. */
const GREETING_MS = 20_000;
/** After an error of the listener itself, such as too many open files. */
const PAUSE_MS = 500;

export interface ListenerOptions extends Address {
  desk: Receptionist;
  /** Serves a host that is known until it returns, and closes the channel. */
  serve(channel: PeerChannel, peer: PeerRecord): Promise<void>;
  /** Keeps a host that knew the code; at `hostname` is where it came from. */
  paired(stranger: Stranger, hostname: string): void;
  log: Log;
}

export class PeerListener {
  readonly #options: ListenerOptions;
  readonly #listener: Deno.TlsListener;
  /** By the host's id; strangers have none. */
  readonly #channels = new Map<PeerChannel, string | null>();
  readonly #serving = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { hostname, port, desk: { identity } } = options;
    const { key, certificate: cert } = identity;
    const alpnProtocols = ["denovisor-peer/1"];
    this.#listener = Deno.listenTls({ hostname, port, key, cert, alpnProtocols });
    this.#track(this.#accept());
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept() {
    while (!this.#isClosed) {
      try {
        const connection = await this.#listener.accept();
        this.#track(this.#admit(connection));
      } catch (error) {
        if (this.#isClosed) return;
        this.#options.log("warn", "cannot take a connection of another host", {
          error: messageOf(error),
        });
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  #track(work: Promise<void>) {
    this.#serving.add(work);
    work.finally(() => this.#serving.delete(work));
  }

  #count(of: string | null): number {
    return [...this.#channels.values()].filter((id) => id === of).length;
  }

  async #admit(connection: Deno.TlsConn) {
    const channel = new PeerChannel(connection);
    if (this.#count(null) >= MOST_STRANGERS) return channel.close();
    this.#channels.set(channel, null);
    const timer = setTimeout(() => channel.close(), GREETING_MS);
    const { log } = this.#options;
    const { hostname } = connection.remoteAddr;
    try {
      await connection.handshake();
      const caller = await receive(channel, this.#options.desk);
      clearTimeout(timer);
      if ("stranger" in caller) {
        // First, so that nobody believes to be paired who is not.
        this.#options.paired(caller.stranger, hostname);
        await caller.accept();
        return await channel.end();
      }
      const { known } = caller;
      if (this.#count(known.id) >= MOST_CONNECTIONS) return;
      this.#channels.set(channel, known.id);
      await this.#options.serve(channel, known);
    } catch (error) {
      if (this.#isClosed) return;
      const from = this.#channels.get(channel) ?? hostname;
      const level = error instanceof PeerError ? "info" : "warn";
      log(level, "a connection of another host ended", { from, error: messageOf(error) });
    } finally {
      clearTimeout(timer);
      this.#channels.delete(channel);
      channel.close();
    }
  }

  /** Ends what a host has that is trusted no more. */
  hangUp(peer: string): void {
    for (const [channel, id] of this.#channels) if (id === peer) channel.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.close();
    for (const channel of this.#channels.keys()) channel.close();
  }

  /** Resolves when nothing of it goes on. */
  async settled(): Promise<void> {
    await Promise.all(this.#serving);
  }
}
