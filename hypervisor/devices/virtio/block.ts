/**
 * The block device (virtio 1.2, section 5.2): a raw disk.
 *
 * A request's data never passes through here: its segments become iovecs into guest memory, and the
 * kernel moves the bytes. One wake-up takes all requests off the queue, hands them over in one system
 * call and raises at most one interrupt: see `block_requests.ts`.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import { createEngine, type EngineKind } from "./block_engine.ts";
import { BLOCK_QUEUE_SIZE, ID_BYTES, VIRTIO_BLK_F } from "./block_protocol.ts";
import { BlockRequests } from "./block_requests.ts";
import { ConfigSpace } from "./config_space.ts";
import { type DeviceHost, VIRTIO_F, VIRTIO_ID, type VirtioDevice } from "./device.ts";
import { SECTOR_BYTES } from "./disk.ts";
import type { QueueSetup } from "./queue.ts";

/** Section 5.2.4, as far as the offered features give it meaning. */
export const BlockConfig = struct("virtio_blk_config", {
  capacity: "n64",
  size_max: "u32",
  seg_max: "u32",
  cylinders: "u16",
  heads: "u8",
  sectors: "u8",
  blk_size: "u32",
  physical_block_exp: "u8",
  alignment_offset: "u8",
  min_io_size: "u16",
  opt_io_size: "u32",
  writeback: "u8",
  unused0: "u8",
  num_queues: "u16",
});

export interface BlockOptions {
  /** Unique within the guest. */
  name: string;
  /** The open file, and its length in sectors: see `openDisk`. */
  fd: number;
  sectors: number;
  readonly?: boolean;
  /** At most 20 ASCII characters. */
  serial?: string;
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
  readonly queueSizes = [BLOCK_QUEUE_SIZE];
  readonly #config: ConfigSpace;
  readonly #fd: number;
  readonly #sectors: number;
  readonly #readonly: boolean;
  readonly #serial: Uint8Array<ArrayBuffer>;
  readonly #engineKind: EngineKind | undefined;
  readonly #engines: typeof createEngine;
  #requests: BlockRequests | undefined;

  /** `engines` makes what carries requests out; tests give one that they can hold up. */
  constructor(options: BlockOptions, engines: typeof createEngine = createEngine) {
    this.#engines = engines;
    this.name = options.name;
    this.#fd = options.fd;
    this.#sectors = options.sectors;
    this.#readonly = options.readonly ?? false;
    this.#serial = serialBytes(options.serial ?? "");
    this.#engineKind = options.engine;
    const { SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY } = VIRTIO_BLK_F;
    this.features = [
      SEG_MAX,
      BLK_SIZE,
      FLUSH,
      TOPOLOGY,
      ...(this.#readonly ? [RO] : []),
      VIRTIO_F.INDIRECT_DESC,
      VIRTIO_F.EVENT_IDX,
    ];
    const config = BlockConfig.create({
      capacity: options.sectors,
      // A header and a status byte take a descriptor each.
      seg_max: BLOCK_QUEUE_SIZE - 2,
      blk_size: SECTOR_BYTES,
      // Images lie on file systems with blocks of 4 KiB: guests that align to that avoid read-modify-write.
      physical_block_exp: 3,
      min_io_size: 8,
      writeback: 1,
      num_queues: 1,
    });
    this.#config = new ConfigSpace(config.$bytes);
  }

  /** How requests reach the file, while the device is active. */
  get engine(): EngineKind | undefined {
    return this.#requests?.engine.kind;
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  /** Nothing in it is writable: CONFIG_WCE is not offered. */
  writeConfig(): void {}

  activate(
    host: DeviceHost,
    setup: { queues: readonly (QueueSetup | null)[]; features: ReadonlySet<number> },
  ): void {
    const [queue] = setup.queues;
    if (!queue) throw new RangeError(`Cannot activate ${this.name}: its queue is not enabled`);
    this.#requests = new BlockRequests(host, queue, setup.features, {
      fd: this.#fd,
      sectors: this.#sectors,
      readonly: this.#readonly,
      serial: this.#serial,
      createEngine: (engine) => this.#engines(engine, this.#engineKind),
    });
  }

  notify(): void {
    this.#requests?.run();
  }

  reset(): void {
    this.#requests?.stop();
    this.#requests = undefined;
  }
}
