/**
 * A network device's control queue (virtio 1.2, section 5.1.6.5): commands that a driver gives once in a
 * while, each answered with a byte.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { drain, signal } from "../../sys/eventfd.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import {
  ACK,
  CONTROL_QUEUE_SIZE,
  MAC_BYTES,
  MAX_NET_QUEUE_SIZE,
  VIRTIO_NET_CTRL as CLASS,
  VIRTIO_NET_CTRL_ANNOUNCE as ANNOUNCE,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS as GUEST_OFFLOADS,
  VIRTIO_NET_CTRL_MAC as MAC,
  VIRTIO_NET_CTRL_MQ as MQ,
  VIRTIO_NET_CTRL_RX as RX_MODE,
} from "./net_protocol.ts";
import { MAX_TABLE } from "./net_registers.ts";
import { type QueueSetup, type QueueState, VirtQueue } from "./queue.ts";

/** What commands do; each answers whether it was done. */
export interface NetCommands {
  setRxMode(command: number, on: boolean): boolean;
  setTables(data: Uint8Array, length: number): boolean;
  setMac(mac: Uint8Array): boolean;
  announced(): boolean;
  setPairs(pairs: number): boolean;
  /** Feature bits 0 to 31 and 32 to 63. */
  setOffloads(low: number, high: number): boolean;
}

/** A class, a command, and two tables of addresses one of which is too long. */
const MAX_COMMAND_BYTES = 2 + 2 * (4 + MAC_BYTES * (MAX_TABLE + 1));
/** Commands after which others have their turn. */
const BATCH = CONTROL_QUEUE_SIZE;

/**
 * Carries out one command, `bytes` of which are there: its class, its number and what goes with it. The
 * rest of a longer one was left out.
 */
export function carryOut(bytes: Uint8Array, length: number, commands: NetCommands): boolean {
  const data = bytes.subarray(2);
  const size = length - 2;
  const [of, command] = bytes;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  switch (of) {
    case CLASS.RX:
      return size === 1 && command <= RX_MODE.NOBCAST && data[0] <= 1 &&
        commands.setRxMode(command, data[0] === 1);
    case CLASS.MAC:
      if (command === MAC.TABLE_SET) return commands.setTables(data, size);
      return command === MAC.ADDR_SET && size === MAC_BYTES &&
        commands.setMac(data.slice(0, MAC_BYTES));
    case CLASS.ANNOUNCE:
      return command === ANNOUNCE.ACK && size === 0 && commands.announced();
    case CLASS.MQ:
      return command === MQ.VQ_PAIRS_SET && size === 2 &&
        commands.setPairs(view.getUint16(0, true));
    case CLASS.GUEST_OFFLOADS:
      return command === GUEST_OFFLOADS.SET && size === 8 &&
        commands.setOffloads(view.getUint32(0, true), view.getUint32(4, true));
  }
  return false;
}

export class ControlQueue {
  /** Which of the device's queues it is. */
  readonly index: number;
  readonly #host: DeviceHost;
  readonly #queue: VirtQueue;
  readonly #commands: NetCommands;
  readonly #bytes = new Uint8Array(MAX_COMMAND_BYTES);
  #stopped = false;

  constructor(
    host: DeviceHost,
    options: { setup: QueueSetup; features: ReadonlySet<number>; commands: NetCommands },
  ) {
    const { setup, features } = options;
    this.#host = host;
    this.index = setup.index;
    this.#commands = options.commands;
    this.#queue = new VirtQueue(host.memory, setup, {
      // Where there is one pair by the driver's choice, another pair's queue is the control queue.
      maxSize: MAX_NET_QUEUE_SIZE,
      eventIdx: features.has(VIRTIO_F.EVENT_IDX),
      indirect: features.has(VIRTIO_F.INDIRECT_DESC),
      onViolation: (reason) => host.needsReset(reason),
    });
    const fd = host.queueNotifyFd(setup.index);
    host.watch(fd, () => {
      drain(fd);
      this.serve();
    });
  }

  get state(): QueueState {
    return this.#queue.state;
  }

  get rejected(): number {
    return this.#queue.rejected;
  }

  serve(): void {
    const queue = this.#queue;
    if (this.#stopped) return;
    let budget = BATCH;
    queue.disableNotifications();
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        queue.push(head, this.#answer());
        if (this.#stopped) return;
        if (--budget === 0) {
          signal(this.#host.queueNotifyFd(this.index));
          if (queue.publish()) this.#host.interruptQueue(this.index);
          return;
        }
      }
    } while (queue.enableNotifications());
    if (!queue.broken && queue.publish()) this.#host.interruptQueue(this.index);
  }

  /** Carries out the command in the chain that was taken last; how many bytes were answered. */
  #answer(): number {
    const queue = this.#queue;
    // Without room for an answer nothing is done.
    if (queue.writable === 0) return 0;
    const { bytes } = this.#host.memory;
    const command = this.#bytes;
    let length = 0;
    for (let i = 0; i < queue.readable && length < command.length; i++) {
      const take = Math.min(queue.lengths[i], command.length - length);
      const at = queue.offsets[i];
      command.set(bytes.subarray(at, at + take), length);
      length += take;
    }
    const ackAt = queue.offsets[queue.readable];
    // A command is judged by the length it has, not by what of it was copied.
    const done = length >= 2 && this.#carryOut(queue.readableBytes);
    bytes[ackAt] = done ? ACK.OK : ACK.ERR;
    return 1;
  }

  #carryOut(length: number): boolean {
    try {
      return carryOut(this.#bytes, length, this.#commands);
    } catch (error) {
      // What the host would not do is refused, like what the driver may not.
      if (error instanceof SysError) return false;
      throw error;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#host.unwatch(this.#host.queueNotifyFd(this.index));
  }
}
