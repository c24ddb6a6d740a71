/**
 * The hosts that this one is paired with: paired, listed, forgotten, and answered.
 *
 * @module
 */
import { ulid } from "@std/ulid";
import type { Host, PairingOffer, Peer, PeerAdd } from "../api/schemas.ts";
import type { EventHub } from "../events.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import { type PeerRecord, PeerStore } from "../store/peers.ts";
import { type Address, formatAddress, parseAddress } from "./address.ts";
import type { PeerChannel } from "./channel.ts";
import { certificateAt, connect, dial } from "./dial.ts";
import { PeerError } from "./frames.ts";
import { pair, type Stranger, WrongCodeError } from "./greeting.ts";
import { fingerprintOf, type HostIdentity } from "./identity.ts";
import { PeerListener } from "./listener.ts";
import { answer, ask, Done, Request } from "./messages.ts";
import { PairingDesk } from "./pairing.ts";
import { PeerWatch } from "./watch.ts";

const REQUEST_MS = 30_000;
const FORGET_MS = 5_000;
const DEAF = "this host keeps to itself. Start its supervisor with --peers";

/** What hosts ask of each other beside what this file answers. */
export type MoveCall = Extract<
  Request,
  { op: "stores" | "move" | "memory" | "settle" | "heard" }
>;

export interface PeersOptions {
  store: PeerStore;
  /** Who this host is, and where it listens for others; null where it keeps to itself. */
  door: { identity: HostIdentity; listen: Address } | null;
  events: EventHub;
  log: Log;
  host(): Promise<Host>;
  /** Serves what is about a move, and returns when the connection is over. */
  serveMove(channel: PeerChannel, peer: PeerRecord, call: MoveCall): Promise<void>;
  /** Throws where a host cannot be forgotten now. */
  refuseForgetting(peer: PeerRecord): void;
  watchMs?: number;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #desk = new PairingDesk();
  readonly #watch: PeerWatch;
  #listener: PeerListener | null = null;

  private constructor(options: PeersOptions) {
    this.#options = options;
    const { store, events } = options;
    this.#watch = new PeerWatch({
      peers: () => store.list(),
      dial: (peer) => this.dial(peer),
      changed: () => events.publish({ name: "peers", data: this.list() }),
      everyMs: options.watchMs,
    });
  }

  /** Opens the door for other hosts. Rejects where this host cannot listen there. */
  static async open(options: PeersOptions): Promise<Peers> {
    const peers = new Peers(options);
    try {
      await peers.#listen();
      return peers;
    } catch (error) {
      peers.close();
      throw error;
    }
  }

  async #listen() {
    const { door, store, log } = this.#options;
    if (door === null) return;
    this.#listener = await PeerListener.open({
      ...door.listen,
      desk: {
        identity: door.identity,
        name: Deno.hostname(),
        find: (fingerprint) => store.byFingerprint(fingerprint),
        takeCode: () => this.#desk.takeCode(),
      },
      serve: (channel, peer) => this.#serve(channel, peer),
      paired: (stranger, hostname) => this.#paired(stranger, hostname),
      log,
    });
  }

  /** The port on which this host listens for others; null where it keeps to itself. */
  get port(): number | null {
    return this.#listener?.port ?? null;
  }

  /** Asks all hosts how they are, in the background. */
  begin(): void {
    void this.#watch.look();
  }

  list(): Peer[] {
    return this.#options.store.list().map((peer) => this.#view(peer));
  }

  #view({ certificate: _, ...peer }: PeerRecord): Peer {
    return { ...peer, ...this.#watch.of(peer.id) };
  }

  get(id: string): PeerRecord {
    const peer = this.#options.store.get(id);
    if (peer === null) throw problem("not_found", `Cannot find a host with the id "${id}"`);
    return peer;
  }

  /** A connection to a host, once each has shown who it is. */
  async dial(peer: PeerRecord): Promise<PeerChannel> {
    const { door } = this.#options;
    if (door === null) throw new PeerError(`Cannot connect to "${peer.name}": ${DEAF}`);
    return await dial(peer, door.identity);
  }

  async offer(): Promise<PairingOffer> {
    const { port } = this.#needDoor("offer a pairing code");
    const { code, expiresAt } = this.#desk.offer();
    const { addresses } = await this.#options.host();
    return {
      code,
      expiresAt: new Date(expiresAt).toISOString(),
      addresses: addresses.map((hostname) => formatAddress({ hostname, port })),
    };
  }

  /** Pairs with a host that has offered a code. */
  async add({ address, code }: PeerAdd): Promise<Peer> {
    const { identity, port } = this.#needDoor("pair with another host");
    const at = parseAddress(address);
    let certificate: string;
    let name: string;
    try {
      certificate = await certificateAt(at);
      const server = await fingerprintOf(certificate);
      if (server === identity.fingerprint) throw new PeerError("It is this host itself");
      using channel = await connect(at, certificate);
      const own = { identity, name: Deno.hostname(), port };
      ({ name } = await pair(channel, { ...own, server, code }));
    } catch (error) {
      const refused = error instanceof WrongCodeError;
      throw problem(
        refused ? "wrong_code" : "peer_unreachable",
        `Cannot pair with the host at "${address}": ${messageOf(error)}`,
      );
    }
    const peer = this.#keep({ name, certificate }, {
      address: formatAddress(at),
      fingerprint: await fingerprintOf(certificate),
    });
    this.#options.log("info", "paired with another host", { name, address: peer.address });
    await this.#watch.look();
    // One that was under way began before there was this host.
    if (!this.#watch.of(peer.id).reachable) await this.#watch.look();
    return this.#view(peer);
  }

  /** Another host has shown that it knows the code. */
  #paired({ name, certificate, fingerprint, port }: Stranger, hostname: string) {
    const address = formatAddress({ hostname, port });
    this.#keep({ name, certificate }, { address, fingerprint });
    this.#options.log("info", "another host has paired with this one", { name, address });
    void this.#watch.look();
  }

  #keep(
    host: Pick<PeerRecord, "name" | "certificate">,
    { address, fingerprint }: Pick<PeerRecord, "address" | "fingerprint">,
  ): PeerRecord {
    const pairedAt = new Date().toISOString();
    const peer = this.#options.store.put({ ...host, id: ulid(), address, fingerprint, pairedAt });
    this.#tell();
    return peer;
  }

  /** Trusts a host no more, and asks it to do the same. */
  async delete(id: string): Promise<void> {
    const peer = this.get(id);
    this.#options.refuseForgetting(peer);
    const told = (async () => {
      using channel = await this.dial(peer);
      await ask(channel, { op: "forget" }, { answer: Done, withinMs: FORGET_MS });
    })();
    await told.catch((error) =>
      this.#options.log("info", "a host did not hear that it is forgotten", {
        name: peer.name,
        error: messageOf(error),
      })
    );
    this.#forget(peer);
  }

  #forget(peer: PeerRecord) {
    this.#options.store.delete(peer.id);
    this.#listener?.hangUp(peer.id);
    this.#options.log("info", "another host is trusted no more", { name: peer.name });
    this.#tell();
  }

  #tell() {
    this.#options.events.publish({ name: "peers", data: this.list() });
  }

  async #serve(channel: PeerChannel, peer: PeerRecord): Promise<void> {
    const request = await channel.hear(Request, REQUEST_MS);
    switch (request.op) {
      case "facts":
        await answer(channel, () => this.#facts());
        return await channel.end();
      case "forget":
        await answer(channel, () => this.#options.refuseForgetting(peer));
        await channel.end();
        return this.#forget(peer);
      default:
        return await this.#options.serveMove(channel, peer, request);
    }
  }

  async #facts() {
    const { name, version, cpuModel, memoryFreeMiB, diskFreeMiB } = await this.#options.host();
    return { name, version, cpuModel, memoryFreeMiB, diskFreeMiB };
  }

  #needDoor(what: string): { identity: HostIdentity; port: number } {
    const { door } = this.#options;
    if (door === null) throw problem("wrong_state", `Cannot ${what}: ${DEAF}`);
    return { identity: door.identity, port: this.#listener!.port };
  }

  close(): void {
    this.#watch.close();
    this.#listener?.close();
  }

  async settled(): Promise<void> {
    await this.#listener?.settled();
    await this.#watch.settled();
  }
}
