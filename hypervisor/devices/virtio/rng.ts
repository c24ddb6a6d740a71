/**
 * The entropy device (virtio 1.2, section 5.4): the host's random numbers for the guest's own generator.
 *
 * @module
 */
import { fillRandom } from "../../sys/random.ts";
import { signal } from "../../sys/eventfd.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type QueueState, VirtQueue } from "./queue.ts";

const QUEUE_SIZE = 64;
/**
 * The most that one chain gets; section 5.4.6.2 allows less than it asks for. Linux asks for 64 bytes
 * at a time.
 */
const MAX_BYTES = 4096;
/** Chains after which other devices get their turn. */
const BATCH = 64;

export class RngDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.rng;
  readonly features = [VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX];
  readonly queueSizes = [QUEUE_SIZE];
  #host: DeviceHost | undefined;
  #queue: VirtQueue | undefined;

  constructor(options: { name: string }) {
    this.name = options.name;
  }

  /** Section 5.4.4: there is no configuration. */
  readConfig(): number {
    return 0;
  }

  writeConfig(): void {}

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const [queue] = setup.queues;
    if (!queue) throw new RangeError(`Cannot activate ${this.name}: its queue is not enabled`);
    this.#host = host;
    this.#queue = new VirtQueue(host.memory, queue, {
      maxSize: QUEUE_SIZE,
      eventIdx: setup.features.has(VIRTIO_F.EVENT_IDX),
      indirect: setup.features.has(VIRTIO_F.INDIRECT_DESC),
      onViolation: (reason) => host.needsReset(reason),
    });
  }

  notify(): void {
    const queue = this.#queue;
    if (queue === undefined || queue.broken) return;
    const host = this.#host!;
    const { index } = queue.rings;
    queue.disableNotifications();
    let budget = BATCH;
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        queue.push(head, this.#fill(queue, host.memory.address));
        if (--budget === 0) {
          signal(host.queueNotifyFd(index));
          if (queue.publish()) host.interruptQueue(index);
          return;
        }
      }
    } while (queue.enableNotifications());
    if (!queue.broken && queue.publish()) host.interruptQueue(index);
  }

  #fill(queue: VirtQueue, base: number): number {
    const { offsets, lengths, readable, writable } = queue;
    let written = 0;
    for (let segment = readable; segment < readable + writable; segment++) {
      const want = Math.min(lengths[segment], MAX_BYTES - written);
      if (want === 0) break;
      const n = fillRandom(base + offsets[segment], want);
      // Nothing rather than something weak; the driver sees how much it got.
      if (n < 0) break;
      written += n;
      if (n < want) break;
    }
    return written;
  }

  freeze(): readonly QueueState[] {
    return [this.#queue!.state];
  }

  reset(): void {
    this.#queue = undefined;
    this.#host = undefined;
  }
}
