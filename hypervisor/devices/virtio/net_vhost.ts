/**
 * A pair of a network device's queues in the hands of vhost-net: a kernel thread moves the frames.
 *
 * @module
 */
import { drain, eventfd, signal } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { VhostQueue, type VhostRings } from "../../sys/vhost.ts";
import type { DeviceHost } from "./device.ts";
import type { NetBackend, PairOptions, PairState } from "./net_pair.ts";
import { MAX_NET_QUEUE_SIZE, RX, TX } from "./net_protocol.ts";
import { checkRings, type Rings } from "./queue.ts";
import { prepareVhost, setVhostFeatures, vhostRings } from "./vhost_setup.ts";

export interface VhostOptions extends PairOptions {
  /** From `openVhostNet`; each pair has one of its own. */
  vhost: number;
}

export class VhostBackend implements NetBackend {
  // The kernel tells of neither.
  readonly rejected = 0;
  readonly oversized = 0;
  readonly #host: DeviceHost;
  readonly #options: VhostOptions;
  readonly #rings: Rings[];
  readonly #queues: VhostQueue[] = [];
  /** Signalled by vhost when it finds a ring broken. */
  readonly #error: number;

  constructor(host: DeviceHost, options: VhostOptions) {
    const { vhost, tap, features, rx, tx, state } = options;
    const { memory } = host;
    this.#rings = [rx, tx].map((setup) =>
      checkRings(memory, setup, { maxSize: MAX_NET_QUEUE_SIZE })
    );
    this.#host = host;
    this.#options = options;
    prepareVhost(vhost, { memory, features });
    this.#error = eventfd();
    host.watch(this.#error, () => {
      if (drain(this.#error)) host.needsReset("vhost-net found a broken ring");
    });
    try {
      this.#rings.forEach(({ index, size }, direction) => {
        const queue = new VhostQueue(vhost, direction);
        const { nextAvail } = direction === RX ? state.rx : state.tx;
        queue.setRings(size, this.#addresses(direction), nextAvail);
        queue.setEvents({
          call: host.queueInterruptFd(index),
          kick: host.queueNotifyFd(index),
          error: this.#error,
        });
        this.#queues.push(queue);
      });
      // Only now: a running queue may use the other's settings.
      for (const queue of this.#queues) queue.setBackend(tap);
    } catch (error) {
      this.stop();
      throw error;
    }
    // What the driver made available to whoever served the rings before is not notified of again.
    for (const { index } of this.#rings) signal(host.queueNotifyFd(index));
  }

  #addresses(direction: number): VhostRings {
    const setup = direction === RX ? this.#options.rx : this.#options.tx;
    return vhostRings(this.#host.memory, { rings: this.#rings[direction], setup });
  }

  /** What is on its way holds a queue's lock, so that all that comes after this is in the log. */
  logWrites(): void {
    setVhostFeatures(this.#options.vhost, { ...this.#options, memory: this.#host.memory });
    this.#queues.forEach((queue, direction) => queue.setAddresses(this.#addresses(direction)));
  }

  /** The kernel thread polls the eventfds itself. */
  notify(): void {}

  stop(): PairState {
    // Both, before either's eventfds: frames on their way through one may still come out of the other.
    for (const queue of this.#queues) queue.setBackend(-1);
    const states = this.#queues.map((queue, direction) => {
      // No further interrupts, also none that were on their way.
      queue.setEvents({ call: -1, kick: -1, error: -1 });
      // vhost returns what it takes in order and at once, so that nothing is in flight: its used.idx is
      // the ring's own.
      const used = this.#host.memory.u16[this.#rings[direction].used / 2 + 1];
      return { nextAvail: queue.next(), nextUsed: used };
    });
    this.#host.unwatch(this.#error);
    close(this.#error);
    const none = { nextAvail: 0, nextUsed: 0 };
    return { rx: states[RX] ?? none, tx: states[TX] ?? none };
  }
}
