/**
 * A socket device's queues in the hands of vhost-vsock: a kernel thread moves the packets.
 *
 * @module
 */
import { drain, eventfd, signal } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { VhostQueue } from "../../sys/vhost.ts";
import { runVhostVsock } from "../../sys/vhost_vsock.ts";
import type { DeviceHost } from "./device.ts";
import { checkRings, type QueueSetup } from "./queue.ts";
import { prepareVhost } from "./vhost_setup.ts";
import { VSOCK_QUEUE_SIZE, type VsockBackend } from "./vsock_protocol.ts";

export interface VhostVsockOptions {
  cid: number;
  vhost: number;
  queues: readonly QueueSetup[];
  features: ReadonlySet<number>;
}

export class VhostVsock implements VsockBackend {
  readonly #host: DeviceHost;
  readonly #cid: number;
  readonly #vhost: number;
  readonly #queues: VhostQueue[] = [];
  /** Signalled by vhost when it finds a ring broken. */
  readonly #error = eventfd();
  #running = false;

  constructor(host: DeviceHost, options: VhostVsockOptions) {
    const { vhost, features } = options;
    const { memory } = host;
    this.#host = host;
    this.#cid = options.cid;
    this.#vhost = vhost;
    host.watch(this.#error, () => {
      if (drain(this.#error)) host.needsReset("vhost-vsock found a broken ring");
    });
    try {
      const rings = options.queues.map((setup) =>
        checkRings(memory, setup, { maxSize: VSOCK_QUEUE_SIZE })
      );
      prepareVhost(vhost, { memory, features });
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
      runVhostVsock(vhost, true);
      this.#running = true;
      // What the driver made available before anybody listened is not notified of again.
      for (const { index } of rings) signal(host.queueNotifyFd(index));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** The kernel thread polls the eventfds itself. */
  notify(): void {}

  report(): Record<string, unknown> {
    return { cid: this.#cid, backend: "vhost" };
  }

  stop(): void {
    if (this.#running) runVhostVsock(this.#vhost, false);
    // No further interrupts, also none that were on their way.
    for (const queue of this.#queues) queue.setEvents({ call: -1, kick: -1, error: -1 });
    this.#host.unwatch(this.#error);
    close(this.#error);
  }
}
