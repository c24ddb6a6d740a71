/**
 * The balloon (virtio 1.2, section 5.5): the guest gives memory back to the host, as much as it is
 * asked for, and tells of what it does not use.
 *
 * What is given back leaves the host's memory at once. It may be used again at any time, whether the
 * guest says so or not: it then is there again, and zero. So nothing has to be remembered of single
 * pages, and nothing that a guest does wrong with them can hurt anybody but itself.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import { signal } from "../../sys/eventfd.ts";
import { struct, type View } from "../../sys/struct.ts";
import { BalloonPages, PAGE_BYTES } from "./balloon_pages.ts";
import { BalloonStatistics } from "./balloon_statistics.ts";
import { ConfigSpace } from "./config_space.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type QueueState, VirtQueue } from "./queue.ts";

/** Section 5.5.3. */
export const VIRTIO_BALLOON_F = {
  STATS_VQ: 1,
  DEFLATE_ON_OOM: 2,
  PAGE_POISON: 4,
  REPORTING: 5,
} as const;

/** Section 5.5.4. */
export const BalloonConfig = struct("virtio_balloon_config", {
  num_pages: "u32",
  actual: "u32",
  free_page_hint_cmd_id: "u32",
  poison_val: "u32",
});

const QUEUE_SIZE = 128;
/** Chains after which other devices get their turn. */
const BATCH = 64;
const PAGES_PER_MIB = 2 ** 20 / PAGE_BYTES;

export interface BalloonOptions {
  /** Unique within the guest. */
  name: string;
  /** The guest's memory: the balloon cannot be asked for more. */
  memoryMiB: number;
  /** What it is asked for from the start. */
  targetMiB?: number;
  /** The guest takes memory out of the balloon rather than kill a process for want of it. */
  deflateOnOom?: boolean;
  /** The guest tells of free pages as they become free. */
  freePageReporting?: boolean;
}

type Role = "inflate" | "deflate" | "statistics" | "reporting";

export class BalloonDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.balloon;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly #memoryMiB: number;
  readonly #targetMiB: number;
  readonly #registers: View<typeof BalloonConfig.fields>;
  readonly #config: ConfigSpace;
  readonly #statistics = new BalloonStatistics();
  readonly #heads = new Uint16Array(BATCH);
  #statisticsAt: number | undefined;
  /** The statistics' buffer while it is here; it goes back when new ones are wanted. */
  #statisticsHead = -1;
  #host: DeviceHost | undefined;
  #pages: BalloonPages | undefined;
  #queues: (VirtQueue | undefined)[] = [];
  #roles: Role[] = [];
  #reported = 0;

  constructor(arena: Arena, options: BalloonOptions) {
    const { name, memoryMiB, targetMiB = 0 } = options;
    const { deflateOnOom = true, freePageReporting = true } = options;
    this.name = name;
    this.#memoryMiB = memoryMiB;
    this.#targetMiB = targetMiB;
    const F = VIRTIO_BALLOON_F;
    this.features = [
      F.STATS_VQ,
      ...(deflateOnOom ? [F.DEFLATE_ON_OOM] : []),
      // A guest that fills free pages with a pattern reports none to a device that cannot know of it.
      ...(freePageReporting ? [F.PAGE_POISON, F.REPORTING] : []),
      VIRTIO_F.INDIRECT_DESC,
      VIRTIO_F.EVENT_IDX,
    ];
    this.queueSizes = new Array(freePageReporting ? 4 : 3).fill(QUEUE_SIZE);
    this.#registers = arena.place(`${name}.config`, BalloonConfig);
    this.#config = new ConfigSpace(this.#registers.$bytes);
  }

  /** Once, by the thread that sets the machine up. */
  powerOn(): void {
    this.#registers.num_pages = this.#targetMiB * PAGES_PER_MIB;
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  /** Section 5.5.4: `actual` and `poison_val` are the driver's to write. */
  writeConfig(offset: number, size: number, value: number): void {
    const { actual, poison_val } = BalloonConfig.offsets;
    for (let i = 0; i < size; i++) {
      const word = (offset + i) & ~3;
      if (word === actual || word === poison_val) {
        this.#registers.$bytes[offset + i] = value / 2 ** (8 * i) & 0xFF;
      }
    }
  }

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const { features } = setup;
    this.#host = host;
    this.#pages = new BalloonPages(host.memory);
    // Section 5.5.2 numbers the queues; Linux leaves no gap for those of features that it did not take.
    this.#roles = ["inflate", "deflate"];
    if (features.has(VIRTIO_BALLOON_F.STATS_VQ)) this.#roles.push("statistics");
    if (features.has(VIRTIO_BALLOON_F.REPORTING)) this.#roles.push("reporting");
    const [inflate, deflate] = setup.queues;
    if (!inflate || !deflate) {
      throw new RangeError(`Cannot activate ${this.name}: it needs its first two queues`);
    }
    this.#queues = this.#roles.map((_, index) => {
      const queue = setup.queues[index];
      if (!queue) return undefined;
      return new VirtQueue(host.memory, queue, {
        maxSize: QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => host.needsReset(reason),
      });
    });
  }

  notify(index: number): void {
    const queue = this.#queues[index];
    if (queue === undefined || queue.broken) return;
    const host = this.#host!;
    const { index: number } = queue.rings;
    const role = this.#roles[index];
    queue.disableNotifications();
    let count = 0;
    let budget = BATCH;
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        if (role === "statistics") this.#keepStatistics(queue, head);
        else {
          this.#serve(role, queue);
          this.#heads[count++] = head;
        }
        if (--budget === 0) {
          signal(host.queueNotifyFd(number));
          return this.#answer(queue, count);
        }
      }
    } while (queue.enableNotifications());
    if (!queue.broken) this.#answer(queue, count);
  }

  #serve(role: Role, queue: VirtQueue): void {
    const pages = this.#pages!;
    switch (role) {
      case "inflate":
        return pages.take(queue);
      case "reporting": {
        // Section 5.5.6.5.2: with a pattern, a page that was given back would have lost it.
        if (this.#registers.poison_val !== 0) return;
        const before = pages.discarded;
        pages.report(queue);
        this.#reported += pages.discarded - before;
        return;
      }
      default:
        // Memory that the guest takes back is there again once it is used.
        return;
    }
  }

  /** Returns what was served: only now, when the pages are gone, may the guest go on. */
  #answer(queue: VirtQueue, count: number): void {
    this.#pages!.flush();
    for (let i = 0; i < count; i++) queue.push(this.#heads[i], 0);
    if (queue.publish()) this.#host!.interruptQueue(queue.rings.index);
  }

  /** Section 5.5.6.3: the device keeps the buffer until it wants to know again. */
  #keepStatistics(queue: VirtQueue, head: number): void {
    // The driver has one; whoever sends more gets the one before back.
    if (this.#statisticsHead >= 0) this.#refreshStatistics();
    this.#statistics.read(this.#host!.memory, queue);
    this.#statisticsAt = Date.now();
    this.#statisticsHead = head;
  }

  /** Asks the guest for new figures, which it sends in its own time. */
  #refreshStatistics(): void {
    const queue = this.#queues[this.#roles.indexOf("statistics")];
    if (queue === undefined || queue.broken || this.#statisticsHead < 0) return;
    queue.push(this.#statisticsHead, 0);
    this.#statisticsHead = -1;
    if (queue.publish()) this.#host!.interruptQueue(queue.rings.index);
  }

  /** `{ targetMiB }`: how much of the guest's memory is to be in the balloon. */
  change(change: Readonly<Record<string, unknown>>): void {
    const { targetMiB, ...rest } = change;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) {
      throw new TypeError(
        `Cannot change "${unknown}" of ${this.name}: only targetMiB can be changed`,
      );
    }
    const max = this.#memoryMiB;
    if (
      typeof targetMiB !== "number" || !Number.isInteger(targetMiB) || targetMiB < 0 ||
      targetMiB > max
    ) {
      throw new RangeError(
        `Cannot change targetMiB of ${this.name} to ${JSON.stringify(targetMiB)}: ` +
          `it must be a whole number from 0 to ${max}`,
      );
    }
    this.#registers.num_pages = targetMiB * PAGES_PER_MIB;
    this.#host?.configChanged();
  }

  /** Asking is what makes the guest send statistics anew: those here are the ones before. */
  report(): Record<string, unknown> {
    this.#refreshStatistics();
    const { num_pages, actual } = this.#registers;
    const pages = this.#pages;
    const memoryPages = this.#memoryMiB * PAGES_PER_MIB;
    return {
      targetMiB: num_pages / PAGES_PER_MIB,
      // What the driver says of itself, but no more than there is.
      actualMiB: Math.min(actual, memoryPages) / PAGES_PER_MIB,
      discardedBytes: (pages?.discarded ?? 0) * PAGE_BYTES,
      reportedBytes: this.#reported * PAGE_BYTES,
      ranges: pages?.ranges ?? 0,
      refusedPages: pages?.refused ?? 0,
      failedPages: pages?.failed ?? 0,
      statistics: this.#statistics.toJSON(),
      statisticsAt: this.#statisticsAt ?? null,
    };
  }

  /** The buffer for statistics, which is here while the guest has nothing to tell, counts as not taken. */
  freeze(): readonly (QueueState | null)[] {
    return this.#queues.map((queue, i) => {
      const held = this.#roles[i] === "statistics" && this.#statisticsHead >= 0 ? 1 : 0;
      return queue?.stateBefore(held) ?? null;
    });
  }

  reset(): void {
    this.#host = undefined;
    this.#pages = undefined;
    this.#queues = [];
    this.#statisticsHead = -1;
    this.#reported = 0;
    this.#registers.actual = 0;
    this.#registers.poison_val = 0;
  }
}
