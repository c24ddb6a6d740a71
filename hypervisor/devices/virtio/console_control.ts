/**
 * A console device's control queues (virtio 1.2, section 5.3.6.2): what ports there are, and which
 * ends of them are open.
 *
 * What the driver is still to be told is a set of flags for each port and not a queue of messages, so a
 * driver that asks without end, or offers no buffers, makes nothing grow here.
 *
 * @module
 */
import type { DeviceHost } from "./device.ts";
import { gather, scatter } from "./chain_bytes.ts";
import { ConsoleControl, VIRTIO_CONSOLE } from "./console_protocol.ts";
import type { ConsolePort } from "./console_port.ts";
import type { VirtQueue } from "./queue.ts";
import { signal } from "../../sys/eventfd.ts";

/** Messages after which other devices have their turn. */
const BATCH = 64;

// What a port's driver is still to be told, in this order.
const ADD = 1;
const CONSOLE = 2;
const RESIZE = 4;
const NAME = 8;

/** How far the driver and a port are with each other, for a machine that is restored. */
export interface PortProgress {
  ready: boolean;
  guestOpen: boolean;
  /** The driver believes that somebody is connected. */
  told: boolean;
  /** What it is still to be told. */
  pending: number;
}

/** Nobody's number: the driver was told of a client that no port here has had. */
const BEFORE = -1;

/** A port as the driver is told of it. */
export interface PortDescription {
  id: number;
  /** Appears as /dev/hvc0. */
  console?: boolean;
  /** Appears as /dev/virtio-ports/NAME. */
  name?: string;
}

interface Port extends PortDescription {
  /** Absent where the driver did not enable its queues. */
  flow: ConsolePort | undefined;
  pending: number;
  /** The driver has set it up and hears of its other end. */
  ready: boolean;
  /** Which client the driver was told of; 0 for none. */
  told: number;
  nameBytes: Uint8Array;
}

export interface ConsoleControlOptions {
  host: DeviceHost;
  rx: VirtQueue;
  tx: VirtQueue;
  ports: readonly (PortDescription & { flow: ConsolePort | undefined })[];
  /** The size of the console's window. */
  size: () => { columns: number; rows: number };
}

export class ConsoleControlQueues {
  /** Messages that made no sense. */
  ignored = 0;
  readonly #host: DeviceHost;
  readonly #rx: VirtQueue;
  readonly #tx: VirtQueue;
  readonly #ports: Port[];
  readonly #size: () => { columns: number; rows: number };
  readonly #request = ConsoleControl.create({});
  readonly #message = new Uint8Array(256);
  readonly #header = ConsoleControl.at(this.#message.buffer);
  readonly #words = new DataView(this.#message.buffer, ConsoleControl.size);
  #stopped = false;

  constructor(options: ConsoleControlOptions) {
    this.#host = options.host;
    this.#rx = options.rx;
    this.#tx = options.tx;
    this.#size = options.size;
    this.#ports = options.ports.map((port) => ({
      ...port,
      pending: 0,
      ready: false,
      told: 0,
      nameBytes: new TextEncoder().encode(port.name ?? ""),
    }));
  }

  progress(): PortProgress[] {
    return this.#ports.map(({ ready, told, pending, flow }) => ({
      ready,
      guestOpen: flow?.guestOpen ?? false,
      told: told !== 0,
      pending,
    }));
  }

  /** Goes on from there, and tells the driver that those who were connected are not any more. */
  restore(progress: readonly PortProgress[]): void {
    this.#ports.forEach((port, i) => {
      const { ready, guestOpen, told, pending } = progress[i];
      port.ready = ready;
      port.told = told ? BEFORE : 0;
      port.pending = pending & (ADD | CONSOLE | RESIZE | NAME);
      if (port.flow !== undefined) port.flow.guestOpen = guestOpen;
    });
    this.tell();
  }

  /** The driver sent messages. */
  notifyTransmit(): void {
    const queue = this.#tx;
    if (this.#stopped || queue.broken) return;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        const length = gather(queue, this.#host.memory, this.#request.$bytes);
        queue.push(head, 0);
        if (length < ConsoleControl.size || !this.#handle()) this.ignored++;
        // What it asked for may have shown a port's queue to be broken.
        if (this.#stopped) return;
        if (--budget === 0) {
          signal(this.#host.queueNotifyFd(queue.rings.index));
          if (queue.publish()) this.#host.interruptQueue(queue.rings.index);
          return this.tell();
        }
      }
    } while (queue.enableNotifications());
    if (queue.broken) return;
    if (queue.publish()) this.#host.interruptQueue(queue.rings.index);
    this.tell();
  }

  /** The size of the console's window changed. */
  resized(): void {
    for (const port of this.#ports) {
      if (port.console && port.ready) port.pending |= RESIZE;
    }
    this.tell();
  }

  /** Tells the driver what it does not know yet, as far as it offers buffers. */
  tell(): void {
    const queue = this.#rx;
    if (this.#stopped || queue.broken) return;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      for (let port = this.#next(); port !== undefined; port = this.#next()) {
        const head = queue.pop();
        if (head < 0) break;
        const bytes = ConsoleControl.size + this.#payload(port);
        // A buffer that is too small goes back, and the message waits for the next one.
        const fits = queue.writableBytes >= bytes;
        if (fits) scatter(queue, this.#host.memory, this.#compose(port), bytes);
        queue.push(head, fits ? bytes : 0);
        if (--budget === 0) {
          signal(this.#host.queueNotifyFd(queue.rings.index));
          break;
        }
      }
    } while (budget > 0 && queue.enableNotifications() && this.#next() !== undefined);
    if (!queue.broken && queue.publish()) this.#host.interruptQueue(queue.rings.index);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Carries out a message of the driver's; false if it makes no sense. */
  #handle(): boolean {
    const { id, event, value } = this.#request;
    if (event === VIRTIO_CONSOLE.DEVICE_READY) {
      if (value === 1) { for (const port of this.#ports) port.pending |= ADD; }
      return true;
    }
    const port = this.#ports.find((port) => port.id === id);
    if (port === undefined) return false;
    switch (event) {
      case VIRTIO_CONSOLE.PORT_READY:
        port.ready = value === 1;
        port.told = 0;
        port.pending = !port.ready
          ? 0
          : (port.console ? CONSOLE | RESIZE : 0) | (port.name === undefined ? 0 : NAME);
        return true;
      case VIRTIO_CONSOLE.PORT_OPEN:
        if (port.flow !== undefined) port.flow.guestOpen = value !== 0;
        return true;
    }
    return false;
  }

  /** The first port with something to tell. */
  #next(): Port | undefined {
    for (const port of this.#ports) {
      if (port.pending !== 0 || this.#openness(port) !== undefined) return port;
    }
    return undefined;
  }

  /** What to tell of the host's end: open, closed, or nothing. */
  #openness({ ready, told, flow }: Port): boolean | undefined {
    if (!ready || flow === undefined) return undefined;
    const client = flow.connected ? flow.clients : 0;
    if (client === told) return undefined;
    // One that went as another came is told as both.
    return told === 0;
  }

  /** How many bytes follow the header. */
  #payload({ pending, nameBytes }: Port): number {
    const first = pending & -pending;
    return first === NAME ? nameBytes.length : first === RESIZE ? 4 : 0;
  }

  /** Makes the next message to tell of `port`, and takes it for told. */
  #compose(port: Port): Uint8Array {
    const header = this.#header;
    header.id = port.id;
    header.value = 1;
    const first = port.pending & -port.pending;
    port.pending &= ~first;
    switch (first) {
      case ADD:
        header.event = VIRTIO_CONSOLE.PORT_ADD;
        break;
      case CONSOLE:
        header.event = VIRTIO_CONSOLE.CONSOLE_PORT;
        break;
      case RESIZE: {
        header.event = VIRTIO_CONSOLE.RESIZE;
        // As the standard has it. Linux took the first for the rows until early 2025, then for the
        // columns, in stable branches too (Debian 13's is one), and since late 2025 for the rows again:
        // a guest that reads it the other way has its window on its side, and no way to say so.
        const { columns, rows } = this.#size();
        this.#words.setUint16(0, columns, true);
        this.#words.setUint16(2, rows, true);
        break;
      }
      case NAME:
        header.event = VIRTIO_CONSOLE.PORT_NAME;
        this.#message.set(port.nameBytes, ConsoleControl.size);
        break;
      default: {
        const open = this.#openness(port) === true;
        header.event = VIRTIO_CONSOLE.PORT_OPEN;
        header.value = open ? 1 : 0;
        port.told = open ? port.flow!.clients : 0;
      }
    }
    return this.#message;
  }
}
