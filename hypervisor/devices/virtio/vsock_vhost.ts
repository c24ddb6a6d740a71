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
import { checkRings, NEW_QUEUE, type QueueSetup, type QueueState, type Rings } from "./queue.ts";
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
  #rings: readonly Rings[] = [];
  #queues: readonly VhostQueue[] = [];
  /** Signalled by vhost when it finds a ring broken. */
  readonly #error = eventfd();
  #running = false;
  /** Where it goes on after a {@linkcode freeze}. */
  #frozen: QueueState[] = [];

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
      this.#rings = options.queues.map((setup) =>
        checkRings(memory, setup, { maxSize: VSOCK_QUEUE_SIZE })
      );
      prepareVhost(vhost, { memory, features });
      this.#queues = this.#rings.map(({ index }) => new VhostQueue(vhost, index));
      this.#start(options.queues.map(({ state = NEW_QUEUE }) => state));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #start(states: readonly QueueState[]): void {
    this.#rings.forEach(({ index, size, desc, avail, used }, i) => {
      const queue = this.#queues[i];
      const at = (offset: number) => this.#host.memory.address + offset;
      const { nextAvail } = states[i];
      queue.setRings(size, { desc: at(desc), avail: at(avail), used: at(used) }, nextAvail);
      queue.setEvents({
        call: this.#host.queueInterruptFd(index),
        kick: this.#host.queueNotifyFd(index),
        error: this.#error,
      });
    });
    runVhostVsock(this.#vhost, true);
    this.#running = true;
    // What the driver made available before anybody listened is not notified of again.
    for (const { index } of this.#rings) signal(this.#host.queueNotifyFd(index));
  }

  /** The kernel thread polls the eventfds itself. */
  notify(): void {}

  report(): Record<string, unknown> {
    return { cid: this.#cid, backend: "vhost" };
  }

  /** Streams stay in the kernel, and their packets wait there. */
  freeze(): QueueState[] {
    this.#pause();
    this.#frozen = this.#rings.map(({ used }, i) => ({
      nextAvail: this.#queues[i].next(),
      // vhost returns what it takes in order and at once: its used.idx is the ring's own.
      nextUsed: this.#host.memory.u16[used / 2 + 1],
    }));
    return [...this.#frozen];
  }

  thaw(): void {
    this.#start(this.#frozen);
  }

  #pause(): void {
    if (this.#running) runVhostVsock(this.#vhost, false);
    this.#running = false;
    // No further interrupts, also none that were on their way.
    for (const queue of this.#queues) queue.setEvents({ call: -1, kick: -1, error: -1 });
  }

  stop(): void {
    this.#pause();
    this.#host.unwatch(this.#error);
    close(this.#error);
  }
}
