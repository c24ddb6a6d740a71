/**
 * Serves the virtio queues of a PC in the main loop.
 *
 * @module
 */
import type { DeviceHost } from "../devices/virtio/device.ts";
import type { VirtioPci } from "../devices/virtio/pci_transport.ts";
import type { EventLoop } from "./event_loop.ts";
import type { Pc } from "./pc.ts";
import { WatchGate } from "./watch_gate.ts";

/** A guest can break the protocol as often as it likes; it cannot fill a log with that. */
const MAX_VIOLATIONS = 16;

export interface ServiceHost {
  /** The driver broke the protocol of a device, which needs a reset now; told of a few times. */
  violated(device: string, reason: string): void;
  /** A device cannot go on, for a reason on the host. */
  pause(reason: string): void;
  /** What it paused for is over. */
  resume(reason: string): void;
}

export class VirtioService {
  readonly #pc: Pc;
  /** What devices wait for: shut while they are frozen. */
  readonly #gate: WatchGate;
  readonly #host: ServiceHost;
  /** The devices that are in use, and the queues whose notifications are watched for each. */
  readonly #active = new Map<VirtioPci, readonly number[]>();
  #violations = 0;

  constructor(pc: Pc, options: { loop: EventLoop; host: ServiceHost }) {
    this.#pc = pc;
    this.#gate = new WatchGate(options.loop);
    this.#host = options.host;
  }

  /** Whether devices stand still: see {@linkcode freeze}. */
  get isFrozen(): boolean {
    return this.#gate.isShut;
  }

  /** Does what drivers asked for since the last time; nothing while devices stand still. */
  lookAtRequests(): void {
    if (this.#gate.isShut) return;
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

  /**
   * With the vCPUs held: brings all devices to rest, with what they are in the arena. Nothing of them
   * touches guest memory until {@linkcode thaw}. Throws where one cannot be saved now; then all go on.
   */
  freeze(): void {
    this.lookAtRequests();
    const frozen: VirtioPci[] = [];
    try {
      for (const transport of this.#active.keys()) {
        const { device } = transport;
        if (device.freeze === undefined) {
          throw new Error(`Cannot save ${device.name}: it has no means to stop and go on`);
        }
        const positions = device.freeze();
        // Finishing what it had begun may have shown that its driver broke the protocol.
        if (!this.#active.has(transport)) continue;
        frozen.push(transport);
        transport.freeze(positions);
      }
    } catch (error) {
      this.#goOn(frozen);
      throw error;
    }
    this.#gate.shut();
  }

  /** Lets devices go on after {@linkcode freeze}. */
  thaw(): void {
    if (!this.#gate.isShut) return;
    this.#gate.open();
    this.#goOn([...this.#active.keys()]);
    this.lookAtRequests();
  }

  /** While devices stand still: another VMM of this host is about to go on with them. */
  letGo(): void {
    for (const { device } of this.#pc.virtio) device.letGo?.();
  }

  #goOn(transports: readonly VirtioPci[]): void {
    for (const transport of transports) {
      transport.thaw();
      try {
        transport.device.thaw?.();
      } catch (error) {
        this.#violated(transport, (error as Error).message);
      }
    }
  }

  /** Starts the devices that were in use when the machine was saved whose registers these are. */
  restore(): void {
    for (const transport of this.#pc.virtio) {
      if (!transport.isFrozen) continue;
      this.#start(transport, { restored: true });
      transport.thaw();
      // An interrupt may have been on its way. One too many is none to a virtio driver.
      for (const queue of transport.queues()) if (queue) transport.interruptQueue(queue.index);
    }
    this.lookAtRequests();
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

  #start(transport: VirtioPci, options: { restored?: boolean } = {}): void {
    if (this.#active.has(transport)) return;
    const { device } = transport;
    const queues = transport.queues();
    const watched = device.offloaded ? [] : queues.flatMap((queue) => queue ? [queue.index] : []);
    try {
      const setup = { queues, features: transport.features(), ...options };
      device.activate(this.#hostOf(transport), setup);
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
      this.#gate.watch(fd, () => device.notify(index), { edge: true });
      // The driver may have filled the queue before anybody listened.
      device.notify(index);
    }
  }

  /** Stops a device: nothing of it is in flight when this returns. */
  stop(transport: VirtioPci): void {
    const watched = this.#active.get(transport);
    if (watched === undefined) return;
    for (const index of watched) this.#gate.unwatch(transport.queueNotifyFd(index));
    transport.device.reset();
    this.#active.delete(transport);
  }

  #violated(transport: VirtioPci, reason: string): void {
    this.stop(transport);
    transport.needsReset();
    if (this.#violations++ < MAX_VIOLATIONS) this.#host.violated(transport.device.name, reason);
  }

  #hostOf(transport: VirtioPci): DeviceHost {
    return {
      memory: this.#pc.memory,
      watch: (fd, ready) => this.#gate.watch(fd, ready),
      unwatch: (fd) => this.#gate.unwatch(fd),
      want: (fd, interest) => this.#gate.want(fd, interest),
      interruptQueue: (index) => transport.interruptQueue(index),
      queueInterruptFd: (index) => transport.queueInterruptFd(index),
      queueNotifyFd: (index) => transport.queueNotifyFd(index),
      needsReset: (reason) => this.#violated(transport, reason),
      configChanged: () => this.#locked(() => transport.configChanged()),
      after: (ms, action) => this.#gate.after(ms, action),
      pause: (reason) => this.#host.pause(reason),
      resume: (reason) => this.#host.resume(reason),
    };
  }
}
