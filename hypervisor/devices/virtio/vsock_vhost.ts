/**
 * A socket device's queues in the hands of vhost-vsock: a kernel thread moves the packets.
 *
 * @module
 */
import { drain, eventfd, signal } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { VhostQueue } from "../../sys/vhost.ts";
import { runVhostVsock, takeVsockAddress } from "../../sys/vhost_vsock.ts";
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

/** Who has the address may be a VMM that has just ended. */
const ADDRESS_PATIENCE_MS = 1000;

export class VhostVsock implements VsockBackend {
  readonly #host: DeviceHost;
  readonly #options: VhostVsockOptions;
  #rings: readonly Rings[] = [];
  /** None before vhost is this process's. */
  #queues: readonly VhostQueue[] = [];
  /** Signalled by vhost when it finds a ring broken. */
  readonly #error = eventfd();
  #running = false;
  /** Where it goes on after a {@linkcode freeze}. */
  #frozen: QueueState[] = [];

  constructor(host: DeviceHost, options: VhostVsockOptions) {
    this.#host = host;
    this.#options = options;
    host.watch(this.#error, () => {
      if (drain(this.#error)) host.needsReset("vhost-vsock found a broken ring");
    });
    try {
      this.#rings = options.queues.map((setup) =>
        checkRings(host.memory, setup, { maxSize: VSOCK_QUEUE_SIZE })
      );
      this.#start(options.queues.map(({ state = NEW_QUEUE }) => state));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  #start(states: readonly QueueState[]): void {
    const { cid, vhost, features } = this.#options;
    const { memory } = this.#host;
    takeVsockAddress(vhost, cid, { patienceMs: ADDRESS_PATIENCE_MS });
    prepareVhost(vhost, { memory, features });
    this.#queues = this.#rings.map(({ index }) => new VhostQueue(vhost, index));
    this.#rings.forEach(({ index, size, desc, avail, used }, i) => {
      const queue = this.#queues[i];
      const at = (offset: number) => memory.address + offset;
      const { nextAvail } = states[i];
      queue.setRings(size, { desc: at(desc), avail: at(avail), used: at(used) }, nextAvail);
      queue.setEvents({
        call: this.#host.queueInterruptFd(index),
        kick: this.#host.queueNotifyFd(index),
        error: this.#error,
      });
    });
    runVhostVsock(vhost, true);
    this.#running = true;
    // What the driver made available before anybody listened is not notified of again.
    for (const { index } of this.#rings) signal(this.#host.queueNotifyFd(index));
  }

  /** The kernel thread polls the eventfds itself. */
  notify(): void {}

  report(): Record<string, unknown> {
    return { cid: this.#options.cid, backend: "vhost" };
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

  /** The descriptor is a new one's, which is nobody's yet. */
  letGo(): void {
    this.#queues = [];
  }

  #pause(): void {
    if (this.#running) runVhostVsock(this.#options.vhost, false);
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
