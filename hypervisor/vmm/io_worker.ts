/**
 * The I/O thread: it serves the virtio queues.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import type { DeviceHost } from "../devices/virtio/device.ts";
import type { VirtioPci } from "../devices/virtio/pci_transport.ts";
import { Epoll } from "../sys/epoll.ts";
import { drain } from "../sys/eventfd.ts";
import { nameThread } from "../sys/threads.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { Timers } from "./timers.ts";

export type IoMessage =
  | { kind: "serial" }
  | { kind: "stopped" }
  | { kind: "violation"; device: string; reason: string }
  | { kind: "failed"; message: string };

const post = (message: IoMessage) => self.postMessage(message);

self.onmessage = ({ data }: MessageEvent<PcSpec>) => {
  try {
    nameThread("io");
    new IoLoop(data).run();
    post({ kind: "stopped" });
  } catch (error) {
    post({ kind: "failed", message: String((error as Error)?.stack ?? error) });
  }
  self.close();
};

class IoLoop {
  readonly #pc: Pc;
  readonly #wakeFd: number;
  readonly #epoll = new Epoll();
  readonly #timers = new Timers();
  readonly #watched = new Map<number, () => void>();
  readonly #active = new Map<VirtioPci, readonly number[]>();

  constructor(spec: PcSpec) {
    this.#pc = new Pc(spec, {
      ended: (reason) => this.#pc.life.end(reason),
      serialReady: () => post({ kind: "serial" }),
    });
    this.#wakeFd = spec.wakeIoFd;
    this.#epoll.add(spec.wakeIoFd);
  }

  run(): void {
    while (!this.#pc.life.hasEnded) {
      const n = this.#epoll.wait(this.#timers.timeoutMs);
      this.#timers.run();
      for (let i = 0; i < n; i++) {
        const fd = this.#epoll.ready(i);
        if (fd === this.#wakeFd) this.#lookAtRequests();
        // An earlier event of this batch may have stopped the device.
        else this.#watched.get(fd)?.();
      }
    }
    // What is in flight is waited for: nothing may be lost that the guest was told is on its way.
    for (const transport of this.#active.keys()) transport.device.reset();
  }

  #lookAtRequests(): void {
    drain(this.#wakeFd);
    for (const transport of this.#pc.virtio) {
      if (transport.pending === "reset") {
        this.#stop(transport);
        // Registers are cleared, which must not happen in the middle of a vCPU's access.
        this.#pc.lock.acquire();
        transport.resetDone();
        this.#pc.lock.release();
      } else if (transport.pending === "activate") {
        this.#start(transport);
        transport.activated();
      }
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
      const fd = transport.queueNotifyFd(index);
      this.#watch(fd, () => {
        drain(fd);
        device.notify(index);
      });
      // The driver may have filled the queue before anybody listened.
      device.notify(index);
    }
  }

  #stop(transport: VirtioPci): void {
    const watched = this.#active.get(transport);
    if (watched === undefined) return;
    for (const index of watched) this.#unwatch(transport.queueNotifyFd(index));
    transport.device.reset();
    this.#active.delete(transport);
  }

  #violated(transport: VirtioPci, reason: string): void {
    this.#stop(transport);
    transport.needsReset();
    post({ kind: "violation", device: transport.device.name, reason });
  }

  #hostOf(transport: VirtioPci): DeviceHost {
    return {
      memory: this.#pc.memory,
      watch: (fd, ready) => this.#watch(fd, ready),
      unwatch: (fd) => this.#unwatch(fd),
      interruptQueue: (index) => transport.interruptQueue(index),
      queueInterruptFd: (index) => transport.queueInterruptFd(index),
      queueNotifyFd: (index) => transport.queueNotifyFd(index),
      needsReset: (reason) => this.#violated(transport, reason),
      configChanged: () => {
        this.#pc.lock.acquire();
        transport.configChanged();
        this.#pc.lock.release();
      },
      after: (ms, action) => this.#timers.after(ms, action),
      pause: (reason) => {
        throw new Error(`The guest cannot go on: ${reason}`);
      },
    };
  }

  #watch(fd: number, ready: () => void): void {
    this.#epoll.add(fd);
    this.#watched.set(fd, ready);
  }

  #unwatch(fd: number): void {
    if (this.#watched.delete(fd)) this.#epoll.remove(fd);
  }
}
