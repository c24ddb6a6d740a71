/**
 * A socket device with the driver's side of its queues, for tests.
 *
 * @module
 */
import { close } from "../../../sys/files.ts";
import { accept, listenUnix, WOULD_BLOCK } from "../../../sys/unix_sockets.ts";
import { VsockDevice } from "../vsock.ts";
import {
  EVENT,
  HOST_CID,
  RX,
  TX,
  VIRTIO_VSOCK_OP as OP,
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_QUEUE_SIZE,
  VsockHeader,
} from "../vsock_protocol.ts";
import { type Buffer, Driver, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";
import { UnixClient } from "./unix_client.ts";

export const CID = 7;
const HEADER = VsockHeader.size;
const RX_AREA = 0x20000;
const RX_BYTES = 4096;
const TX_AREA = RX_AREA + VSOCK_QUEUE_SIZE * RX_BYTES;
const TX_BYTES = 256 * 1024;

export interface Packet {
  op: number;
  hostPort: number;
  guestPort: number;
  flags: number;
  bufAlloc: number;
  fwdCnt: number;
  type: number;
  srcCid: number;
  payload: Uint8Array<ArrayBuffer>;
}

/** What the guest sends; all of it may be wrong. */
export interface Sent {
  op: number;
  hostPort?: number;
  guestPort?: number;
  payload?: Uint8Array;
  flags?: number;
  type?: number;
  len?: number;
  srcCid?: number;
  dstCid?: number;
  bufAlloc?: number;
  fwdCnt?: number;
  /** How many bytes of header and payload there are in all. */
  cut?: number;
  /** In how many bytes' pieces they come. */
  piece?: number;
}

export class VsockGuest implements Disposable {
  readonly memory = testMemory(TX_AREA + TX_BYTES);
  readonly host = new TestHost(this.memory, { queues: 3 });
  readonly device: VsockDevice;
  readonly path: string;
  drivers: Driver[] = [];
  /** What its packets say that it can buffer, unless they say otherwise. */
  bufAlloc = 65536;
  readonly #folder = Deno.makeTempDirSync();
  readonly #listener: number;
  readonly #fds: number[] = [];
  readonly #clients: UnixClient[] = [];
  readonly #places = new Map<number, number>();
  /** Everything that the device sent and nobody has looked at. */
  #packets: Packet[] = [];

  constructor() {
    this.path = `${this.#folder}/vsock`;
    this.#listener = listenUnix(this.path);
    const { path } = this;
    this.device = new VsockDevice({ name: "vsock0", cid: CID, path, listener: this.#listener });
    this.host.device = this.device;
    this.activate();
  }

  /** New rings, and the device working on them. */
  activate(): void {
    this.#places.clear();
    this.drivers = [RX, TX, EVENT].map((index) =>
      new Driver(this.memory, { size: VSOCK_QUEUE_SIZE, base: 0x1000 + index * 0x4000, index })
    );
    const queues = this.drivers.map(({ setup }) => setup);
    this.device.activate(this.host, { queues, features: new Set() });
  }

  /** A program of the host that listens for the guest at `port`. */
  listen(port: number): { accept(): UnixClient | undefined } {
    const listener = listenUnix(`${this.path}_${port}`);
    this.#fds.push(listener);
    return {
      accept: () => {
        const fd = accept(listener);
        if (fd === WOULD_BLOCK) return undefined;
        const client = new UnixClient(fd);
        this.#clients.push(client);
        return client;
      },
    };
  }

  /** A program of the host that connects to the device's socket. */
  connect(): UnixClient {
    const client = new UnixClient(this.path);
    this.#clients.push(client);
    return client;
  }

  /** Turns the loop until nothing happens. */
  settle(turns = 20): void {
    for (let i = 0; i < turns; i++) {
      this.host.turn(0);
      this.host.serveSelfNotifications(this.device);
    }
  }

  /** Offers `count` receive buffers of `length` bytes. */
  offer(count = VSOCK_QUEUE_SIZE, length = RX_BYTES): void {
    const rx = this.drivers[RX];
    const used = new Set(this.#places.values());
    for (let slot = 0; slot < VSOCK_QUEUE_SIZE && count > 0 && rx.free >= 2; slot++) {
      const address = RX_AREA + slot * RX_BYTES;
      if (used.has(address)) continue;
      count--;
      // A header of its own in front of the rest, as Linux before 6.3 has it.
      const head = length > HEADER
        ? rx.add([
          { address, length: HEADER, writable: true },
          { address: address + HEADER, length: length - HEADER, writable: true },
        ])
        : rx.add([{ address, length, writable: true }]);
      this.#places.set(head, address);
    }
    this.device.notify(RX);
  }

  /** What the device has sent since the last call. */
  packets(): Packet[] {
    const { drivers, memory } = this;
    for (const { head, written } of drivers[RX].takeAll()) {
      const address = this.#places.get(head)!;
      this.#places.delete(head);
      const h = VsockHeader.at(memory.bytes.slice(address, address + HEADER).buffer);
      if (written !== HEADER + h.len) throw new Error(`${written} bytes for a length of ${h.len}`);
      if (h.dst_cid !== CID || h.dst_cid_high !== 0) throw new Error("not for this guest");
      this.#packets.push({
        op: h.op,
        hostPort: h.src_port,
        guestPort: h.dst_port,
        flags: h.flags,
        bufAlloc: h.buf_alloc,
        fwdCnt: h.fwd_cnt,
        type: h.type,
        srcCid: h.src_cid,
        payload: memory.bytes.slice(address + HEADER, address + written),
      });
    }
    const packets = this.#packets;
    this.#packets = [];
    return packets;
  }

  /** Sends a packet, and takes its chain back if the device has done with it. */
  send(packet: Sent): void {
    const { payload = new Uint8Array(), hostPort = 0, guestPort = 0 } = packet;
    const header = VsockHeader.create({
      src_cid: packet.srcCid ?? CID,
      dst_cid: packet.dstCid ?? HOST_CID,
      src_port: guestPort,
      dst_port: hostPort,
      len: packet.len ?? payload.length,
      type: packet.type ?? VIRTIO_VSOCK_TYPE_STREAM,
      op: packet.op,
      flags: packet.flags ?? 0,
      buf_alloc: packet.bufAlloc ?? this.bufAlloc,
      fwd_cnt: packet.fwdCnt ?? 0,
    });
    const bytes = new Uint8Array(HEADER + payload.length);
    bytes.set(header.$bytes);
    bytes.set(payload, HEADER);
    const all = bytes.subarray(0, packet.cut ?? bytes.length);
    this.memory.bytes.set(all, TX_AREA);
    const piece = packet.piece ?? (all.length || 1);
    const buffers: Buffer[] = [];
    for (let at = 0; at < all.length; at += piece) {
      buffers.push({ address: TX_AREA + at, length: Math.min(piece, all.length - at) });
    }
    if (buffers.length === 0) buffers.push({ address: TX_AREA, length: 0 });
    this.drivers[TX].add(buffers);
    this.device.notify(TX);
    this.drivers[TX].takeAll();
  }

  /** A stream from port `guestPort` to a program of the host that listens at `hostPort`. */
  opened(hostPort = 1000, guestPort = 50): UnixClient {
    const listener = this.listen(hostPort);
    this.offer();
    this.send({ op: OP.REQUEST, hostPort, guestPort });
    this.packets();
    this.offer();
    return listener.accept()!;
  }

  [Symbol.dispose](): void {
    this.device.reset();
    for (const client of this.#clients) client.close();
    for (const fd of [this.#listener, ...this.#fds]) close(fd);
    Deno.removeSync(this.#folder, { recursive: true });
    this.host[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}
