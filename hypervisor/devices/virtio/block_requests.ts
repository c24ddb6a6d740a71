/**
 * A block device at work, from DRIVER_OK to reset: all of its queues over one engine, so that what one
 * wake-up brings costs one system call and at most one interrupt a queue.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { signal } from "../../sys/eventfd.ts";
import { Iovecs } from "../../sys/iovecs.ts";
import type { BlockEngine, EngineOptions } from "./block_engine.ts";
import { BLOCK_QUEUE_SIZE } from "./block_protocol.ts";
import { BlockQueue, QUEUE_IOVECS } from "./block_queue.ts";
import { Shortage } from "./block_shortage.ts";
import type { BlockCounters } from "./block_statistics.ts";
import type { DeviceHost } from "./device.ts";
import type { Disk } from "./disk.ts";
import type { DiskChanges } from "./disk_changes.ts";
import type { QueueSetup, QueueState } from "./queue.ts";
import type { RateLimiter } from "./rate_limit.ts";

/** Rounds of a full queue after which other devices get their turn. */
const ROUNDS = 4;

/** What the requests are for, and by what rules. */
export interface Backing {
  disk: Omit<Disk, "sectors">;
  /** The disk's length now. */
  sectors(): number;
  /** Writes are on the disk before they are answered. */
  stableWrites(): boolean;
  serial: Uint8Array<ArrayBuffer>;
  limiter: RateLimiter;
  counters: BlockCounters;
  changes: DiskChanges;
  pinMemory: boolean;
  createEngine(options: EngineOptions): BlockEngine;
}

export class BlockRequests {
  readonly engine: BlockEngine;
  readonly shortage: Shortage;
  readonly disk: Backing["disk"];
  readonly serial: Uint8Array<ArrayBuffer>;
  readonly limiter: RateLimiter;
  readonly counters: BlockCounters;
  readonly changes: DiskChanges;
  readonly #backing: Backing;
  readonly #host: DeviceHost;
  readonly #iovecs: Iovecs;
  readonly #queues: readonly (BlockQueue | null)[];
  readonly #done = (tag: number, result: number) =>
    this.#queues[Math.floor(tag / BLOCK_QUEUE_SIZE)]!.completed(tag % BLOCK_QUEUE_SIZE, result);
  readonly #abandoned = (tag: number) =>
    this.#queues[Math.floor(tag / BLOCK_QUEUE_SIZE)]!.abandon(tag % BLOCK_QUEUE_SIZE);
  readonly #runAll = () => this.runAll();
  readonly #completions = () => {
    this.#drive(null);
    this.#publish();
  };
  #failed = false;

  constructor(
    host: DeviceHost,
    setups: readonly (QueueSetup | null)[],
    features: ReadonlySet<number>,
    backing: Backing,
  ) {
    this.#host = host;
    this.#backing = backing;
    this.disk = backing.disk;
    this.serial = backing.serial;
    this.limiter = backing.limiter;
    this.counters = backing.counters;
    this.changes = backing.changes;
    const tags = setups.length * BLOCK_QUEUE_SIZE;
    // Addresses, not pages: what no request needs is never touched.
    this.#iovecs = new Iovecs(setups.length * QUEUE_IOVECS);
    try {
      this.#queues = setups.map((setup, i) =>
        setup && new BlockQueue(this, {
          host,
          setup,
          features,
          iovecs: this.#iovecs,
          firstIovec: i * QUEUE_IOVECS,
          firstTag: i * BLOCK_QUEUE_SIZE,
        })
      );
      const { address, length } = host.memory;
      this.engine = backing.createEngine({
        fd: this.disk.fd,
        directFd: this.disk.direct?.fd,
        blockDevice: this.disk.blockDevice,
        iovecs: this.#iovecs,
        depth: tags,
        buffers: backing.pinMemory ? { address, length } : undefined,
      });
      if (this.engine.fixedBuffers) host.memory.pinned = true;
    } catch (error) {
      this.#iovecs.free();
      throw error;
    }
    this.shortage = new Shortage({
      host,
      reason: `disk "${this.disk.path}" has no room on the host`,
      tags,
      restart: (tag) =>
        this.#queues[Math.floor(tag / BLOCK_QUEUE_SIZE)]!.restart(tag % BLOCK_QUEUE_SIZE),
      drive: this.#completions,
    });
    if (this.engine.fd >= 0) host.watch(this.engine.fd, this.#completions);
  }

  get sectors(): number {
    return this.#backing.sectors();
  }

  get stableWrites(): boolean {
    return this.#backing.stableWrites();
  }

  /** Requests that are being carried out or kept. */
  get inFlight(): number {
    return this.#queues.reduce((sum, queue) => sum + (queue?.ring.inFlight ?? 0), 0);
  }

  /** Serves what a queue holds and what has completed. */
  run(index: number): void {
    const queue = this.#queues[index];
    if (queue) this.#serve(queue);
    this.#publish();
  }

  /** Serves all queues: what held them back is gone. */
  runAll(): void {
    for (const queue of this.#queues) if (queue) this.#serve(queue);
    this.#publish();
  }

  /** The guest goes on after a pause. */
  resumed(): void {
    this.shortage.resumed();
  }

  /** Returns once nothing is in flight. */
  settle(): void {
    const { engine } = this;
    for (;;) {
      engine.submit();
      if (engine.reap(this.#done) > 0) continue;
      if (engine.inFlight === 0) return;
      engine.wait();
    }
  }

  /** Answers all that is in flight, and tells how far each queue has got. */
  freeze(): readonly (QueueState | null)[] {
    if (!this.#failed) this.settle();
    this.#publish();
    if (this.shortage.active) {
      throw new Error(`Cannot save requests that wait: disk "${this.disk.path}" has no room`);
    }
    return this.#queues.map((queue) => queue?.ring.state ?? null);
  }

  /** The driver broke the protocol, or the host cannot go on. */
  fail(reason: string): void {
    this.#failed = true;
    // The host may stop this device before it returns.
    this.#host.needsReset(reason);
  }

  /** Waits for what is in flight, so that nothing touches guest memory afterwards. */
  stop(): void {
    this.#failed = true;
    this.limiter.cancel();
    if (this.engine.fd >= 0) this.#host.unwatch(this.engine.fd);
    while (this.engine.inFlight > 0) {
      this.engine.wait();
      this.engine.reap(this.#abandoned);
    }
    for (const queue of this.#queues) queue?.ring.abandon();
    this.shortage.stop();
    this.engine.close();
    this.#iovecs.free();
  }

  #serve(queue: BlockQueue): void {
    if (this.#failed) return;
    const { ring } = queue;
    ring.disableNotifications();
    for (let rounds = 1;; rounds++) {
      this.#drive(queue);
      // A violation stops the device in the middle of this.
      if (this.#failed) return;
      if (!this.limiter.open) {
        // Notifications stay off: they would only wake somebody who may do nothing.
        this.limiter.waitOn(this.#host, this.#runAll);
        return;
      }
      if (rounds > ROUNDS) {
        // Notifications stay off; this one is ours.
        signal(this.#host.queueNotifyFd(ring.rings.index));
        return;
      }
      if (!ring.enableNotifications()) return;
      // The driver goes on with what is done while this goes on with what comes next.
      this.#publish();
    }
  }

  /** Takes what a queue holds, hands it over and answers what is done. */
  #drive(queue: BlockQueue | null): void {
    if (this.#failed) return;
    try {
      queue?.take();
      if (this.#failed) return;
      // What completes at once can leave a rest to submit again.
      do this.engine.submit(); while (this.engine.reap(this.#done) > 0);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      this.fail(error.message);
    }
  }

  /** Shows the driver what was answered, with one interrupt for each queue that wants it. */
  #publish(): void {
    if (this.#failed) return;
    for (const queue of this.#queues) {
      if (queue?.ring.publish()) this.#host.interruptQueue(queue.ring.rings.index);
    }
  }
}
