/**
 * Where other hosts connect to this one.
 *
 * @module
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { type Log, messageOf } from "../log.ts";
import type { PeerRecord } from "../store/peers.ts";
import type { Address } from "./address.ts";
import { PeerChannel } from "./channel.ts";
import { ALPN } from "./dial.ts";
import { PeerError } from "./frames.ts";
import { receive, type Receptionist, type Stranger } from "./greeting.ts";
import { TlsWire } from "./tls_wire.ts";

/** How many may be connected that have not shown who they are; more are hung up on. */
const MOST_STRANGERS = 16;
/** How many connections a host that is known may have: a few for each guest that moves. */
const MOST_CONNECTIONS = 64;
/** By then whoever connects has shown who it is, in milliseconds. */
const GREETING_MS = 20_000;

export interface ListenerOptions extends Address {
  desk: Receptionist;
  /** Serves a host that is known until it returns, and closes the channel. */
  serve(channel: PeerChannel, peer: PeerRecord): Promise<void>;
  /** Keeps a host that knew the code; at `hostname` is where it came from. */
  paired(stranger: Stranger, hostname: string): void;
  log: Log;
}

/** A connection, from its first byte on. */
interface Guest {
  socket: Socket;
  timer: ReturnType<typeof setTimeout>;
  /** The host that it is of; null for a stranger. */
  peer: string | null;
}

export class PeerListener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  /** By where they come from, which no two share at a time. */
  readonly #guests = new Map<string, Guest>();
  readonly #serving = new Set<Promise<void>>();
  readonly #over: Promise<void>;
  #isClosed = false;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    const { key, certificate: cert } = options.desk.identity;
    this.#server = createServer({ key, cert, minVersion: "TLSv1.3", ALPNProtocols: ALPN });
    this.#server.on("connection", (socket: Socket) => this.#come(socket));
    this.#server.on("secureConnection", (socket: TLSSocket) => {
      const serving = this.#admit(socket);
      this.#serving.add(serving);
      serving.finally(() => this.#serving.delete(serving));
    });
    this.#over = new Promise((resolve) => this.#server.once("close", () => resolve()));
  }

  /** Rejects where it cannot listen there. */
  static async open(options: ListenerOptions): Promise<PeerListener> {
    const listener = new PeerListener(options);
    const server = listener.#server;
    const { hostname: host, port } = options;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => resolve());
    });
    server.removeAllListeners("error");
    server.on(
      "error",
      (error: Error) =>
        options.log("warn", "cannot take a connection of another host", {
          error: messageOf(error),
        }),
    );
    return listener;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  #count(of: string | null): number {
    return [...this.#guests.values()].filter(({ peer }) => peer === of).length;
  }

  /** Somebody, of whom nothing is known yet. */
  #come(socket: Socket) {
    // It broke, or was cut: there is nobody to be told.
    socket.on("error", () => {});
    if (this.#isClosed || this.#count(null) >= MOST_STRANGERS) return socket.destroy();
    const timer = setTimeout(() => socket.destroy(), GREETING_MS);
    this.#guests.set(whence(socket), { socket, timer, peer: null });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, GREETING_MS);
    const from = whence(socket);
    socket.once("close", () => {
      clearTimeout(timer);
      this.#guests.delete(from);
    });
  }

  async #admit(socket: TLSSocket) {
    const channel = new PeerChannel(new TlsWire(socket));
    const { log, desk } = this.#options;
    const guest = this.#guests.get(whence(socket));
    const hostname = socket.remoteAddress ?? "";
    try {
      if (guest === undefined) return;
      const caller = await receive(channel, desk);
      clearTimeout(guest.timer);
      if ("stranger" in caller) {
        // First, so that nobody believes to be paired who is not.
        this.#options.paired(caller.stranger, hostname);
        await caller.accept();
        return await channel.end();
      }
      const { known } = caller;
      if (this.#count(known.id) >= MOST_CONNECTIONS) return;
      guest.peer = known.id;
      await this.#options.serve(channel, known);
    } catch (error) {
      if (this.#isClosed) return;
      const from = guest?.peer ?? hostname;
      const level = error instanceof PeerError ? "info" : "warn";
      log(level, "a connection of another host ended", { from, error: messageOf(error) });
    } finally {
      channel.close();
    }
  }

  /** Ends what a host has that is trusted no more. */
  hangUp(peer: string): void {
    for (const guest of this.#guests.values()) if (guest.peer === peer) guest.socket.destroy();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
    for (const { socket, timer } of this.#guests.values()) {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  /** Resolves when nothing of it goes on. */
  async settled(): Promise<void> {
    await Promise.all(this.#serving);
    await this.#over;
  }
}

function whence({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
