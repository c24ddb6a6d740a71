/**
 * Serves the virtio queues of a PC in the main loop.
 *
 * @module
 */
import type { DeviceHost } from "../devices/virtio/device.ts";
import type { VirtioPci } from "../devices/virtio/pci_transport.ts";
import type { EventLoop } from "./event_loop.ts";
import type { Pc } from "./pc.ts";

export interface ServiceHost {
  /** The driver broke the protocol of a device, which needs a reset now. */
  violated(device: string, reason: string): void;
  /** A device cannot go on, for a reason on the host. */
  pause(reason: string): void;
  /** What it paused for is over. */
  resume(reason: string): void;
}

export class VirtioService {
  readonly #pc: Pc;
  readonly #loop: EventLoop;
  readonly #host: ServiceHost;
  /** The devices that are in use, and the queues whose notifications are watched for each. */
  readonly #active = new Map<VirtioPci, readonly number[]>();

  constructor(pc: Pc, options: { loop: EventLoop; host: ServiceHost }) {
    this.#pc = pc;
    this.#loop = options.loop;
    this.#host = options.host;
  }

  /** Does what drivers asked for since the last time. */
  lookAtRequests(): void {
    for (const transport of this.#pc.virtio) {
      const pending = transport.pending;
      if (pending === "reset") {
        this.stop(transport);
        // Registers are cleared, which must not happen in the middle of a vCPU's access.
        this.#locked(() => transport.resetDone());
      } else if (pending === "activate") {
        this.#start(transport);
        transport.activated();
      }
    }
  }

  /** The guest goes on after a pause: so do devices that asked for it. */
  resumed(): void {
    for (const transport of this.#active.keys()) transport.device.resumed?.();
  }

  /** Stops everything; what is in flight is waited for: the guest was told that it is on its way. */
  close(): void {
    for (const transport of [...this.#active.keys()]) this.stop(transport);
  }

  #locked(action: () => void): void {
    this.#pc.lock.acquire();
    try {
      action();
    } finally {
      this.#pc.lock.release();
    }
  }

  #start(transport: VirtioPci): void {
    if (this.#active.has(transport)) return;
    const { device } = transport;
    const queues = transport.queues();
    const watched = device.offloaded ? [] : queues.flatMap((queue) => queue ? [queue.index] : []);
    try {
      device.activate(this.#hostOf(transport), { queues, features: transport.features() });
    } catch (error) {
      this.#violated(transport, (error as Error).message);
      return;
    }
    this.#active.set(transport, watched);
    for (const index of watched) {
      // A queue that was broken from the start has stopped the device.
      if (!this.#active.has(transport)) return;
      const fd = transport.queueNotifyFd(index);
      // The counter only ever grows, which spares a system call for each notification.
      this.#loop.watch(fd, () => device.notify(index), { edge: true });
      // The driver may have filled the queue before anybody listened.
      device.notify(index);
    }
  }

  /** Stops a device: nothing of it is in flight when this returns. */
  stop(transport: VirtioPci): void {
    const watched = this.#active.get(transport);
    if (watched === undefined) return;
    for (const index of watched) this.#loop.unwatch(transport.queueNotifyFd(index));
    transport.device.reset();
    this.#active.delete(transport);
  }

  #violated(transport: VirtioPci, reason: string): void {
    this.stop(transport);
    transport.needsReset();
    this.#host.violated(transport.device.name, reason);
  }

  #hostOf(transport: VirtioPci): DeviceHost {
    return {
      memory: this.#pc.memory,
      watch: (fd, ready) => this.#loop.watch(fd, ready),
      unwatch: (fd) => this.#loop.unwatch(fd),
      want: (fd, interest) => this.#loop.want(fd, interest),
      interruptQueue: (index) => transport.interruptQueue(index),
      queueInterruptFd: (index) => transport.queueInterruptFd(index),
      queueNotifyFd: (index) => transport.queueNotifyFd(index),
      needsReset: (reason) => this.#violated(transport, reason),
      configChanged: () => this.#locked(() => transport.configChanged()),
      after: (ms, action) => this.#loop.after(ms, action),
      pause: (reason) => this.#host.pause(reason),
      resume: (reason) => this.#host.resume(reason),
    };
  }
}
