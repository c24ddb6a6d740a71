/**
 * A socket device's event queue (virtio 1.2, section 5.10.6.7): the driver hears that all its streams
 * are gone, and looks what its address is now.
 *
 * @module
 */
import { scatter } from "./chain_bytes.ts";
import type { DeviceHost } from "./device.ts";
import type { QueueState, VirtQueue } from "./queue.ts";
import { VIRTIO_VSOCK_EVENT_TRANSPORT_RESET } from "./vsock_protocol.ts";

const EVENT_BYTES = 4;

export class VsockEvents {
  readonly #host: DeviceHost;
  readonly #queue: VirtQueue;
  readonly #event = new Uint8Array(EVENT_BYTES);
  /** The driver is to hear of a reset, for which it has offered no buffer yet. */
  #owes = false;

  constructor(host: DeviceHost, queue: VirtQueue) {
    this.#host = host;
    this.#queue = queue;
    this.#event[0] = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET;
  }

  get state(): QueueState {
    return this.#queue.state;
  }

  /** Tells the driver, as soon as it offers a buffer. */
  reset(): void {
    this.#owes = true;
    this.notify();
  }

  /** The driver offers buffers. */
  notify(): void {
    const queue = this.#queue;
    while (this.#owes && !queue.broken) {
      const head = queue.pop();
      if (head < 0) {
        if (queue.enableNotifications()) continue;
        break;
      }
      const fits = queue.writableBytes >= EVENT_BYTES;
      if (fits) scatter(queue, this.#host.memory, this.#event);
      queue.push(head, fits ? EVENT_BYTES : 0);
      this.#owes = !fits;
    }
    if (!queue.broken && queue.publish()) this.#host.interruptQueue(queue.rings.index);
  }
}
