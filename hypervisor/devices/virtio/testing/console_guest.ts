/**
 * A console device with the driver's side of all its queues, for tests.
 *
 * @module
 */
import { Arena } from "../../../machine/arena.ts";
import { close } from "../../../sys/files.ts";
import { listenUnix } from "../../../sys/unix_sockets.ts";
import { ConsoleDevice, type WindowSize } from "../console.ts";
import {
  CONTROL_RX,
  CONTROL_TX,
  receiveQueue,
  transmitQueue,
  VIRTIO_CONSOLE,
  VIRTIO_CONSOLE_F,
} from "../console_protocol.ts";
import { type Buffer, Driver, testMemory } from "./driver.ts";
import { TestHost } from "./host.ts";
import { UnixClient } from "./unix_client.ts";

const SIZE = 64;
const RINGS = 0x1000;
/** Each queue has an area of its own, with a buffer for each descriptor. */
const AREAS = 0x40000;
const BUFFER_BYTES = 4096;
const AREA_BYTES = SIZE * BUFFER_BYTES;

export interface ConsoleGuestOptions {
  console?: WindowSize;
  ports?: string[];
  features?: number[];
}

export interface Message {
  id: number;
  event: number;
  value: number;
  payload: Uint8Array<ArrayBuffer>;
}

export class ConsoleGuest implements Disposable {
  readonly memory: ReturnType<typeof testMemory>;
  readonly host: TestHost;
  readonly device: ConsoleDevice;
  readonly #folder = Deno.makeTempDirSync();
  readonly #listeners: number[] = [];
  readonly #clients: UnixClient[] = [];
  readonly #features: number[];
  drivers: Driver[] = [];
  /** Where the buffers of receive chains lie, by queue and head. */
  #places: Map<number, Buffer>[] = [];
  #written: number[] = [];

  constructor(options: ConsoleGuestOptions = {}) {
    const { ports = ["one"], features = [VIRTIO_CONSOLE_F.MULTIPORT] } = options;
    this.#features = features;
    const listener = (name: string) => {
      const fd = listenUnix(`${this.#folder}/${name}`);
      this.#listeners.push(fd);
      return fd;
    };
    this.device = new ConsoleDevice(new Arena(), {
      name: "console0",
      console: options.console && { ...options.console, listener: listener("hvc0") },
      ports: ports.map((name) => ({ name, listener: listener(name) })),
    });
    const queues = this.device.queueSizes.length;
    this.memory = testMemory(AREAS + queues * AREA_BYTES);
    this.host = new TestHost(this.memory, { queues });
    this.host.device = this.device;
    this.activate();
  }

  /** New rings, and the device working on them. */
  activate(): void {
    const count = this.device.queueSizes.length;
    this.#places = Array.from({ length: count }, () => new Map());
    this.#written = Array(count).fill(0);
    this.drivers = Array.from(
      { length: count },
      (_, index) => new Driver(this.memory, { size: SIZE, base: RINGS + index * 0x2000, index }),
    );
    const queues = this.drivers.map(({ setup }) => setup);
    this.device.activate(this.host, { queues, features: new Set(this.#features) });
    for (const { index } of queues) this.device.notify(index);
  }

  connect(port: string): UnixClient {
    const client = new UnixClient(`${this.#folder}/${port}`);
    this.#clients.push(client);
    this.host.turn(0);
    return client;
  }

  /** Turns the loop until nothing happens. */
  settle(turns = 200): void {
    for (let i = 0; i < turns; i++) {
      this.host.turn(0);
      this.host.serveSelfNotifications(this.device);
    }
  }

  /** Offers `count` buffers of `length` bytes on queue `index`; how many there was room for. */
  offer(index: number, count: number, length = BUFFER_BYTES): number {
    const driver = this.drivers[index];
    let offered = 0;
    for (; offered < count && driver.free > 0; offered++) {
      const used = new Set([...this.#places[index].values()].map(({ address }) => address));
      let address = AREAS + index * AREA_BYTES;
      while (used.has(address)) address += BUFFER_BYTES;
      const buffer = { address, length, writable: true };
      this.#places[index].set(driver.add([buffer]), buffer);
    }
    this.device.notify(index);
    return offered;
  }

  /** What the device returned on queue `index`, buffer by buffer. */
  taken(index: number): Uint8Array<ArrayBuffer>[] {
    return this.drivers[index].takeAll().map(({ head, written }) => {
      const { address } = this.#places[index].get(head)!;
      this.#places[index].delete(head);
      return this.memory.bytes.slice(address, address + written);
    });
  }

  /** The messages that the device sent. */
  messages(): Message[] {
    return this.taken(CONTROL_RX).filter(({ length }) => length > 0).map((bytes) => {
      const view = new DataView(bytes.buffer);
      return {
        id: view.getUint32(0, true),
        event: view.getUint16(4, true),
        value: view.getUint16(6, true),
        payload: bytes.slice(8),
      };
    });
  }

  /** Sends a control message. */
  tell(id: number, event: number, value: number): void {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, id, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    this.write(CONTROL_TX, bytes);
    this.drivers[CONTROL_TX].takeAll();
  }

  /** Makes `bytes` available on queue `index` in pieces, and notifies; the chain's head. */
  write(index: number, bytes: Uint8Array, piece = BUFFER_BYTES): number {
    const at = AREAS + index * AREA_BYTES + this.#written[index];
    this.#written[index] = (this.#written[index] + bytes.length) % (AREA_BYTES / 2);
    this.memory.bytes.set(bytes, at);
    const buffers: Buffer[] = [];
    for (let start = 0; start < bytes.length; start += piece) {
      buffers.push({ address: at + start, length: Math.min(piece, bytes.length - start) });
    }
    if (buffers.length === 0) buffers.push({ address: at, length: 0 });
    const head = this.drivers[index].add(buffers);
    this.device.notify(index);
    return head;
  }

  /** As Linux does: makes the device and all ports known, and opens the ports. */
  start(): Message[] {
    const { DEVICE_READY, PORT_ADD, PORT_READY, PORT_OPEN } = VIRTIO_CONSOLE;
    this.offer(CONTROL_RX, SIZE);
    this.tell(0xffff_ffff, DEVICE_READY, 1);
    const added = this.messages().filter(({ event }) => event === PORT_ADD);
    for (const { id } of added) this.tell(id, PORT_READY, 1);
    for (const { id } of added) this.tell(id, PORT_OPEN, 1);
    this.offer(CONTROL_RX, SIZE);
    return this.messages();
  }

  /** Offers buffers to port `id` and collects what comes, until nothing does. */
  drain(id: number): Uint8Array<ArrayBuffer> {
    const index = receiveQueue(id);
    const parts: number[] = [];
    for (let quiet = 0; quiet < 3;) {
      this.offer(index, 16);
      this.settle();
      const taken = this.taken(index);
      quiet = taken.length === 0 ? quiet + 1 : 0;
      for (const bytes of taken) parts.push(...bytes);
    }
    return Uint8Array.from(parts);
  }

  /** Writes to port `id`, as a program in the guest. */
  say(id: number, text: string): void {
    this.write(transmitQueue(id), new TextEncoder().encode(text));
  }

  [Symbol.dispose](): void {
    this.device.reset();
    for (const client of this.#clients) client.close();
    for (const fd of this.#listeners) close(fd);
    Deno.removeSync(this.#folder, { recursive: true });
    this.host[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}

export { SIZE as CONSOLE_QUEUE_SIZE };
