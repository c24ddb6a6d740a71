/**
 * A network device's queues in the hands of vhost-net.
 *
 * @module
 */
import { drain, eventfd } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { EBUSY, SysError } from "../../sys/errno.ts";
import { setFeatures, setMemory, setOwner, vhostFeatures, VhostQueue } from "../../sys/vhost.ts";
import { type DeviceHost, VIRTIO_F } from "./device.ts";
import { NET_QUEUE_SIZE, type NetBackend } from "./net_protocol.ts";
import { checkRings, type QueueSetup } from "./queue.ts";

export interface VhostOptions {
  vhost: number;
  tap: number;
  queues: readonly QueueSetup[];
  features: ReadonlySet<number>;
}

export class VhostBackend implements NetBackend {
  readonly #host: DeviceHost;
  readonly #queues: VhostQueue[] = [];
  /** Where each queue had got to (its next avail.idx) when it was stopped. */
  readonly positions: number[] = [];
  /** Signalled by vhost when it finds a ring broken. */
  readonly #error: number;

  constructor(host: DeviceHost, options: VhostOptions) {
    const { vhost, tap, features } = options;
    const { memory } = host;
    const rings = options.queues.map((setup) =>
      checkRings(memory, setup, { maxSize: NET_QUEUE_SIZE })
    );
    this.#host = host;
    try {
      setOwner(vhost);
    } catch (error) {
      // From before the driver's last reset; the owner stays.
      if (!(error instanceof SysError) || error.errno !== EBUSY) throw error;
    }
    // Features before the rings: with EVENT_IDX they are longer, and vhost checks where they lie.
    const known = vhostFeatures(vhost);
    setFeatures(vhost, [...features, VIRTIO_F.VERSION_1].filter((bit) => known.has(bit)));
    setMemory(
      vhost,
      memory.slots.map(({ guest, offset, length }) => ({
        guest,
        length,
        address: memory.address + offset,
      })),
    );
    this.#error = eventfd();
    host.watch(this.#error, () => {
      if (drain(this.#error)) host.needsReset("vhost-net found a broken ring");
    });
    try {
      for (const { index, size, desc, avail, used } of rings) {
        const queue = new VhostQueue(vhost, index);
        const at = (offset: number) => memory.address + offset;
        queue.setRings(size, { desc: at(desc), avail: at(avail), used: at(used) }, 0);
        queue.setEvents({
          call: host.queueInterruptFd(index),
          kick: host.queueNotifyFd(index),
          error: this.#error,
        });
        this.#queues.push(queue);
      }
      // Only now: a running queue may use the other's settings.
      for (const queue of this.#queues) queue.setBackend(tap);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** The kernel thread polls the eventfds itself. */
  notify(): void {}

  stop(): void {
    for (const queue of this.#queues) {
      queue.setBackend(-1);
      this.positions.push(queue.next());
      // No further interrupts, also none that were on their way.
      queue.setEvents({ call: -1, kick: -1, error: -1 });
    }
    this.#host.unwatch(this.#error);
    close(this.#error);
  }
}
