/**
 * The console device (virtio 1.2, section 5.3) with several ports: a console, and named ports that
 * programs in the guest open. On the host each is a unix socket.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import { ConfigSpace } from "./config_space.ts";
import { ConsoleControlQueues, type PortDescription } from "./console_control.ts";
import { ConsolePort } from "./console_port.ts";
import {
  ConsoleConfig,
  CONTROL_RX,
  CONTROL_TX,
  portOfQueue,
  receiveQueue,
  transmitQueue,
  VIRTIO_CONSOLE_F,
} from "./console_protocol.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type QueueState, VirtQueue } from "./queue.ts";
import { SocketSet } from "./socket_set.ts";
import { struct } from "../../sys/struct.ts";

const QUEUE_SIZE = 64;

const MAX_PORTS = 8;

/** {@linkcode PortProgress} of a machine that is being saved. */
const ConsolePortsV1 = struct("virtio_console_ports", {
  ready: ["u8", MAX_PORTS],
  guest_open: ["u8", MAX_PORTS],
  told: ["u8", MAX_PORTS],
  pending: ["u8", MAX_PORTS],
});

/** How large a window may be, in columns and in rows. */
export const MAX_WINDOW = 1000;

export interface WindowSize {
  columns: number;
  rows: number;
}

export interface ConsoleOptions {
  /** Unique within the guest. */
  name: string;
  /** /dev/hvc0: a socket that listens for its client, and the size of its window. */
  console?: { listener: number } & WindowSize;
  /** /dev/virtio-ports/NAME, and a socket that listens for its client. */
  ports: readonly { name: string; listener: number }[];
}

export class ConsoleDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.console;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly #config;
  readonly #configSpace: ConfigSpace;
  readonly #ports: readonly (PortDescription & { listener: number })[];
  readonly #saved;
  #queues: readonly (VirtQueue | null)[] = [];
  #host: DeviceHost | undefined;
  #sockets: SocketSet | undefined;
  #control: ConsoleControlQueues | undefined;
  /** By port. */
  #flows: (ConsolePort | undefined)[] = [];

  constructor(arena: Arena, options: ConsoleOptions) {
    const { name, console } = options;
    this.name = name;
    const { SIZE, MULTIPORT } = VIRTIO_CONSOLE_F;
    const rings = [VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX];
    this.features = [...(console ? [SIZE] : []), MULTIPORT, ...rings];
    // Port 0 is the console's, also where there is none: a driver without MULTIPORT knows no other.
    this.#ports = [
      ...(console ? [{ id: 0, console: true, listener: console.listener }] : []),
      ...options.ports.map(({ name, listener }, i) => ({ id: i + 1, name, listener })),
    ];
    const count = options.ports.length + 1;
    this.queueSizes = Array(2 * (count + 1)).fill(QUEUE_SIZE);
    this.#saved = arena.place(`${name}.ports`, ConsolePortsV1);
    this.#config = arena.place(`${name}.config`, ConsoleConfig);
    if (this.#config.max_nr_ports === 0) {
      this.#config.max_nr_ports = count;
      this.#config.cols = console?.columns ?? 0;
      this.#config.rows = console?.rows ?? 0;
    }
    this.#configSpace = new ConfigSpace(this.#config.$bytes);
  }

  readConfig(offset: number, size: number): number {
    return this.#configSpace.read(offset, size);
  }

  /** Section 5.3.4: emerg_wr is not offered, and nothing else is the driver's to write. */
  writeConfig(): void {}

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const { features } = setup;
    const queues = setup.queues.map((queue) =>
      queue && new VirtQueue(host.memory, queue, {
        maxSize: QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => host.needsReset(reason),
      })
    );
    this.#queues = queues;
    const multiport = features.has(VIRTIO_CONSOLE_F.MULTIPORT);
    const [controlRx, controlTx] = [queues[CONTROL_RX], queues[CONTROL_TX]];
    if (multiport && (!controlRx || !controlTx)) {
      throw new RangeError(`Cannot activate ${this.name}: its control queues are not enabled`);
    }
    this.#host = host;
    const sockets = this.#sockets = new SocketSet(host);
    this.#flows = [];
    for (const { id, listener } of this.#ports) {
      const [rx, tx] = [queues[receiveQueue(id)], queues[transmitQueue(id)]];
      if (!rx || !tx || (!multiport && id !== 0)) continue;
      const changed = () => this.#control?.tell();
      this.#flows[id] = new ConsolePort({ host, sockets, listener, rx, tx, changed });
    }
    if (!multiport) {
      // Such a driver has no means to say so.
      if (this.#flows[0]) this.#flows[0].guestOpen = true;
      return;
    }
    this.#control = new ConsoleControlQueues({
      host,
      rx: controlRx!,
      tx: controlTx!,
      ports: this.#ports.map(({ listener: _, ...port }) => ({
        ...port,
        flow: this.#flows[port.id],
      })),
      size: () => ({ columns: this.#config.cols, rows: this.#config.rows }),
    });
    if (setup.restored) {
      const { ready, guest_open, told, pending } = this.#saved;
      this.#control.restore(this.#ports.map((_, i) => ({
        ready: ready[i] === 1,
        guestOpen: guest_open[i] === 1,
        told: told[i] === 1,
        pending: pending[i],
      })));
    }
  }

  /**
   * Bytes of a chain that was partly sent come again to whoever is connected after a restore; there is
   * nobody at first, so they are dropped.
   */
  freeze(): readonly (QueueState | null)[] {
    this.#control?.progress().forEach(({ ready, guestOpen, told, pending }, i) => {
      this.#saved.ready[i] = ready ? 1 : 0;
      this.#saved.guest_open[i] = guestOpen ? 1 : 0;
      this.#saved.told[i] = told ? 1 : 0;
      this.#saved.pending[i] = pending;
    });
    return this.#queues.map((queue, index) => {
      const isControl = index === CONTROL_RX || index === CONTROL_TX;
      const held = isControl ? undefined : this.#flows[portOfQueue(index)]?.held;
      return queue?.stateBefore(held?.[index % 2 === 0 ? "rx" : "tx"] ?? 0) ?? null;
    });
  }

  notify(index: number): void {
    if (index === CONTROL_RX) this.#control?.tell();
    else if (index === CONTROL_TX) this.#control?.notifyTransmit();
    else {
      const flow = this.#flows[portOfQueue(index)];
      if ((index & 1) === 0) flow?.notifyReceive();
      else flow?.notifyTransmit();
    }
  }

  /** `{columns, rows}`: the console's window has another size. */
  change(change: Readonly<Record<string, unknown>>): void {
    const { columns, rows, ...rest } = change;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) {
      throw new TypeError(
        `Cannot change "${unknown}" of ${this.name}: what can be changed is columns and rows`,
      );
    }
    if (!this.#ports[0]?.console) {
      throw new TypeError(`Cannot change the window of ${this.name}: it has no console`);
    }
    const [cols, lines] = [windowSize(columns, "columns"), windowSize(rows, "rows")];
    this.#config.cols = cols;
    this.#config.rows = lines;
    this.#control?.resized();
    if (this.#host) this.#host.configChanged();
  }

  report(): Record<string, unknown> {
    return {
      ports: this.#ports.map(({ id, name }) => {
        const flow = this.#flows[id];
        return {
          name: name ?? "hvc0",
          connected: flow?.connected ?? false,
          guestOpen: flow?.guestOpen ?? false,
          bytesToGuest: flow?.bytesToGuest ?? 0,
          bytesFromGuest: flow?.bytesFromGuest ?? 0,
          bytesDropped: flow?.bytesDropped ?? 0,
        };
      }),
      messagesIgnored: this.#control?.ignored ?? 0,
    };
  }

  /** Clients are sent away: what comes next is another conversation. */
  reset(): void {
    for (const flow of this.#flows) flow?.stop();
    this.#flows = [];
    this.#queues = [];
    this.#control?.stop();
    this.#control = undefined;
    this.#sockets?.close();
    this.#sockets = this.#host = undefined;
  }
}

function windowSize(value: unknown, what: string): number {
  if (
    typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > MAX_WINDOW
  ) {
    throw new RangeError(
      `Cannot use ${what} ${
        JSON.stringify(value)
      }: it must be a whole number from 1 to ${MAX_WINDOW}`,
    );
  }
  return value;
}
