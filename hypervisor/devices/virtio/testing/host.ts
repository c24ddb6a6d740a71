/**
 * A main loop for tests: a {@linkcode DeviceHost} that counts what the device does and runs its loop
 * by hand.
 *
 * @module
 */
import type { GuestMemory } from "../../../machine/memory.ts";
import { Epoll } from "../../../sys/epoll.ts";
import { drain, eventfd } from "../../../sys/eventfd.ts";
import { close } from "../../../sys/files.ts";
import type { DeviceHost, VirtioDevice } from "../device.ts";

export class TestHost implements DeviceHost, Disposable {
  readonly memory: GuestMemory;
  /** How often each queue's interrupt was raised. */
  readonly interrupts: number[] = [];
  /** Why the device stopped, if it did. */
  readonly failures: string[] = [];
  /** Why the guest was paused, each time. */
  readonly pauses: string[] = [];
  /** How often the device said that it can go on. */
  resumes = 0;
  /** How often the driver was told of a changed configuration. */
  configChanges = 0;
  /** What waits for {@linkcode elapse}, by when it is due in milliseconds of made-up time. */
  readonly #timers = new Set<{ at: number; action: () => void }>();
  #now = 0;
  /** What is stopped when it needs a reset. */
  device: VirtioDevice | undefined;
  readonly #epoll = new Epoll();
  readonly #watches = new Map<number, () => void>();
  readonly #notifyFds: number[] = [];
  readonly #interruptFds: number[] = [];

  constructor(memory: GuestMemory, options: { queues: number }) {
    this.memory = memory;
    for (let i = 0; i < options.queues; i++) {
      this.interrupts.push(0);
      this.#notifyFds.push(eventfd());
      this.#interruptFds.push(eventfd());
    }
  }

  watch(fd: number, ready: () => void): void {
    if (this.#watches.has(fd)) throw new Error(`Cannot watch descriptor ${fd} twice`);
    this.#watches.set(fd, ready);
    this.#epoll.add(fd);
  }

  unwatch(fd: number): void {
    if (!this.#watches.delete(fd)) throw new Error(`Cannot unwatch ${fd}: it is not watched`);
    this.#epoll.remove(fd);
  }

  want(fd: number, interest: { read: boolean; write: boolean }): void {
    this.#epoll.change(fd, interest);
  }

  get watched(): number {
    return this.#watches.size;
  }

  interruptQueue(index: number): void {
    this.interrupts[index]++;
  }

  queueInterruptFd(index: number): number {
    return this.#interruptFds[index];
  }

  queueNotifyFd(index: number): number {
    return this.#notifyFds[index];
  }

  /** As the main loop does: the device is stopped before this returns. */
  needsReset(reason: string): void {
    this.failures.push(reason);
    this.device?.reset();
  }

  configChanged(): void {
    this.configChanges++;
  }

  after(ms: number, action: () => void): () => void {
    const timer = { at: this.#now + ms, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets made-up time pass: calls what is due, in order. */
  elapse(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#now = next.at;
      this.#timers.delete(next);
      next.action();
    }
    this.#now = end;
  }

  pause(reason: string): void {
    this.pauses.push(reason);
  }

  resume(_reason: string): void {
    this.resumes++;
  }

  /** One turn of the loop; it may end early, as io_uring interrupts whoever waits. How much was ready. */
  turn(timeoutMs: number): number {
    const n = this.#epoll.wait(timeoutMs);
    for (let i = 0; i < n; i++) this.#watches.get(this.#epoll.ready(i))?.();
    return n;
  }

  /** Turns until `done`; throws if that takes more than ten seconds. */
  until(done: () => boolean): void {
    const deadline = performance.now() + 10_000;
    while (!done()) {
      if (performance.now() > deadline) throw new Error("Cannot go on: nothing happens any more");
      this.turn(1000);
    }
  }

  /** Serves notifications that the device sent itself to be called again. */
  serveSelfNotifications(device: VirtioDevice): void {
    for (const [index, fd] of this.#notifyFds.entries()) {
      while (drain(fd)) device.notify(index);
    }
  }

  [Symbol.dispose](): void {
    for (const fd of [...this.#notifyFds, ...this.#interruptFds, this.#epoll.fd]) close(fd);
  }
}
