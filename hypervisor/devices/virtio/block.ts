/**
 * The block device (virtio 1.2, section 5.2): a raw disk.
 *
 * A request's data never passes through here: its segments become iovecs into guest memory, and the
 * kernel moves the bytes. One wake-up takes all requests off the queue, hands them over in one system
 * call and raises at most one interrupt: see `block_requests.ts`.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import { length } from "../../sys/files.ts";
import { createEngine, type EngineKind } from "./block_engine.ts";
import {
  BLOCK_QUEUE_SIZE,
  BlockConfig,
  ID_BYTES,
  MAX_BLOCK_QUEUES,
  MAX_DISCARD_SECTORS,
  MAX_WRITE_ZEROES_SECTORS,
  SECTOR_BYTES,
  VIRTIO_BLK_F,
} from "./block_protocol.ts";
import { BlockRequests } from "./block_requests.ts";
import { namedCounters, newCounters } from "./block_statistics.ts";
import { ConfigSpace } from "./config_space.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type Disk, growDisk } from "./disk.ts";
import { type CopiedDisk, DiskChanges } from "./disk_changes.ts";
import type { QueueState } from "./queue.ts";
import { checkRateLimit, type RateLimit, RateLimiter } from "./rate_limit.ts";

export interface BlockOptions {
  /** Unique within the guest. */
  name: string;
  disk: Disk;
  /** At most 20 ASCII characters. */
  serial?: string;
  /** 1 to 16; 1 without. */
  queues?: number;
  /** Whether writes may wait in the host for a flush, until the driver says otherwise; true without. */
  writeback?: boolean;
  /** Whether ranges can be discarded and zeroed where the disk's host can do that; true without. */
  discard?: boolean;
  /** What the guest's sectors are: 512 or 4096 bytes; 512 without. */
  blockBytes?: number;
  rateLimit?: RateLimit;
  /** Pins all guest RAM, so that the kernel need not look pages up for each request. */
  pinMemory?: boolean;
  /** For tests: without, the best that works. */
  engine?: EngineKind;
}

/** A disk's serial number as GET_ID answers it; throws a RangeError where it cannot be one. */
export function serialBytes(serial: string): Uint8Array<ArrayBuffer> {
  if (!/^[\x20-\x7e]{0,20}$/.test(serial)) {
    throw new RangeError(
      `Cannot use serial number "${serial}": it must be at most ${ID_BYTES} printable ASCII characters`,
    );
  }
  const bytes = new Uint8Array(ID_BYTES);
  new TextEncoder().encodeInto(serial, bytes);
  return bytes;
}

export class BlockDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.block;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly #options: BlockOptions;
  readonly #disk: Disk;
  /** Shared by all threads: a driver may turn the write cache off, the host may enlarge the disk. */
  readonly #config;
  readonly #space: ConfigSpace;
  readonly #serial: Uint8Array<ArrayBuffer>;
  readonly #engines: typeof createEngine;
  readonly #limiter: RateLimiter;
  readonly #counters = newCounters();
  readonly #changes = new DiskChanges();
  #host: DeviceHost | undefined;
  #requests: BlockRequests | undefined;

  /** `engines` makes what carries requests out, `now` is a clock in milliseconds: tests have their own. */
  constructor(
    options: BlockOptions,
    more: { arena?: Arena; engines?: typeof createEngine; now?: () => number } = {},
  ) {
    const { name, disk, queues = 1, writeback = true, blockBytes = SECTOR_BYTES } = options;
    if (!Number.isInteger(queues) || queues < 1 || queues > MAX_BLOCK_QUEUES) {
      throw new RangeError(`Cannot give "${name}" ${queues} queues: 1 to ${MAX_BLOCK_QUEUES}`);
    }
    if (blockBytes !== 512 && blockBytes !== 4096 || disk.sectors * SECTOR_BYTES % blockBytes) {
      throw new RangeError(
        `Cannot give disk "${disk.path}" blocks of ${blockBytes} bytes: they are 512 or 4096 bytes ` +
          `long, and the disk has a whole number of them`,
      );
    }
    this.name = name;
    this.#options = options;
    this.#disk = disk;
    this.#engines = more.engines ?? createEngine;
    this.#serial = serialBytes(options.serial ?? "");
    this.#limiter = new RateLimiter(options.rateLimit, more.now);
    this.queueSizes = new Array(queues).fill(BLOCK_QUEUE_SIZE);
    const discards = (options.discard ?? true) && disk.discard && !disk.readonly;
    const { SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE } = VIRTIO_BLK_F;
    const { MQ, DISCARD, WRITE_ZEROES } = VIRTIO_BLK_F;
    this.features = [
      ...[SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, CONFIG_WCE, MQ],
      ...(disk.readonly ? [RO] : []),
      ...(discards ? [DISCARD, WRITE_ZEROES] : []),
      ...[VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX],
    ];
    this.#config = more.arena?.place(`${name}.config`, BlockConfig) ?? BlockConfig.create();
    this.#space = new ConfigSpace(this.#config.$bytes);
    // The first thread to come writes it; what has changed since is not for the others to undo.
    if (this.#config.blk_size === 0) {
      const physical = Math.max(blockBytes, disk.physicalBlockBytes);
      Object.assign(this.#config, {
        capacity: disk.sectors,
        // A header and a status byte take a descriptor each.
        seg_max: BLOCK_QUEUE_SIZE - 2,
        blk_size: blockBytes,
        // Guests that align to what is written at once avoid a read before each write.
        physical_block_exp: Math.log2(physical / blockBytes),
        min_io_size: physical / blockBytes,
        writeback: writeback ? 1 : 0,
        num_queues: queues,
        max_discard_sectors: discards ? MAX_DISCARD_SECTORS : 0,
        max_discard_seg: discards ? 1 : 0,
        discard_sector_alignment: discards ? physical / SECTOR_BYTES : 0,
        max_write_zeroes_sectors: discards ? MAX_WRITE_ZEROES_SECTORS : 0,
        max_write_zeroes_seg: discards ? 1 : 0,
        write_zeroes_may_unmap: discards ? 1 : 0,
      });
    }
  }

  /** How requests reach the file, while the device is active. */
  get engine(): EngineKind | undefined {
    return this.#requests?.engine.kind;
  }

  /** The disk may have grown since, also since it was opened; of one that has shrunk, the driver would not know. */
  restore(): void {
    const { capacity, blk_size } = this.#config;
    const sectors = Math.max(this.#disk.sectors, Math.floor(length(this.#disk.fd) / SECTOR_BYTES));
    if (sectors < capacity) {
      throw new RangeError(
        `Cannot restore ${this.name}: disk "${this.#disk.path}" has ${sectors} sectors, ` +
          `and had ${capacity}`,
      );
    }
    if (blk_size !== (this.#options.blockBytes ?? SECTOR_BYTES)) {
      throw new RangeError(`Cannot restore ${this.name}: its blocks had ${blk_size} bytes`);
    }
  }

  readConfig(offset: number, size: number): number {
    return this.#space.read(offset, size);
  }

  /** Section 5.2.5: of all fields, a driver writes only `writeback`. */
  writeConfig(offset: number, size: number, value: number): void {
    if (offset !== BlockConfig.offsets.writeback || size !== 1 || value > 1) return;
    this.#config.writeback = value;
  }

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const { features } = setup;
    if (setup.queues.every((queue) => queue === null)) {
      throw new RangeError(`Cannot activate ${this.name}: none of its queues is enabled`);
    }
    // Section 5.2.6.2: a driver that chose to say what it wants says it in the configuration; of the
    // others, those that can flush get what the host chose, and those that cannot are safe without.
    const { writeback = true } = this.#options;
    const config = this.#config;
    const flushes = features.has(VIRTIO_BLK_F.FLUSH);
    const chooses = flushes && features.has(VIRTIO_BLK_F.CONFIG_WCE);
    const stable = !flushes || !writeback;
    this.#requests = new BlockRequests(host, setup.queues, features, {
      disk: this.#disk,
      sectors: () => config.capacity,
      stableWrites: chooses ? () => config.writeback === 0 : () => stable,
      serial: this.#serial,
      limiter: this.#limiter,
      counters: this.#counters,
      changes: this.#changes,
      pinMemory: this.#options.pinMemory ?? false,
      createEngine: (engine) => this.#engines(engine, this.#options.engine),
    });
    this.#host = host;
  }

  notify(index: number): void {
    this.#requests?.run(index);
  }

  resumed(): void {
    this.#requests?.resumed();
  }

  /**
   * `sizeBytes` makes the disk larger and tells the driver; `rateLimit` puts another limit in force,
   * with null none.
   */
  change(change: Readonly<Record<string, unknown>>): void {
    const { sizeBytes, rateLimit, ...others } = change;
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) {
      throw new TypeError(
        `Cannot change "${unknown}" of ${this.name}: what can change is sizeBytes and rateLimit`,
      );
    }
    const limit = rateLimit === undefined ? undefined : checkRateLimit(rateLimit, "the rate limit");
    if (sizeBytes !== undefined) this.#grow(sizeBytes);
    if (limit !== undefined) {
      this.#limiter.limit = limit;
      this.#limiter.cancel();
      this.#requests?.runAll();
    }
  }

  #grow(sizeBytes: unknown): void {
    if (typeof sizeBytes !== "number") {
      throw new TypeError(`Cannot make ${this.name} "${sizeBytes}" bytes long: expected a number`);
    }
    const { blk_size } = this.#config;
    if (sizeBytes % blk_size !== 0) {
      throw new RangeError(
        `Cannot make ${this.name} ${sizeBytes} bytes long: its blocks have ${blk_size}`,
      );
    }
    const before = this.#config.capacity;
    this.#config.capacity = growDisk({ ...this.#disk, sectors: before }, sizeBytes);
    this.#changes.grow(sizeBytes);
    if (this.#config.capacity !== before) this.#host?.configChanged();
  }

  report(): Record<string, unknown> {
    const requests = this.#requests;
    return {
      path: this.#disk.path,
      sizeBytes: this.#config.capacity * SECTOR_BYTES,
      readonly: this.#disk.readonly,
      cache: this.#disk.direct === undefined ? "cached" : "direct",
      writeCache: this.#config.writeback === 1,
      queues: this.queueSizes.length,
      engine: requests?.engine.kind ?? null,
      pinnedMemory: requests?.engine.fixedBuffers ?? false,
      ...namedCounters(this.#counters),
      inFlight: requests?.inFlight ?? 0,
      waitingForRoom: requests?.shortage.waiting ?? 0,
      rateLimit: this.#limiter.limit,
      rateLimitWaits: this.#limiter.waits,
    };
  }

  /** Waits for what is in flight; throws where the disk's host has no room for it. */
  freeze(): readonly (QueueState | null)[] {
    return this.#requests!.freeze();
  }

  get disk(): CopiedDisk {
    return {
      path: this.#disk.path,
      readonly: this.#disk.readonly,
      sizeBytes: this.#config.capacity * SECTOR_BYTES,
      changes: this.#changes,
    };
  }

  get files(): readonly number[] {
    return [this.#disk.fd];
  }

  settings(): Record<string, unknown> {
    return { rateLimit: this.#limiter.limit };
  }

  reset(): void {
    this.#requests?.stop();
    this.#requests = undefined;
    this.#host = undefined;
    this.#config.writeback = this.#options.writeback ?? true ? 1 : 0;
  }
}
