/**
 * The common configuration of a virtio PCI device (virtio 1.2, section 4.1.4.3), with the rules of
 * device initialization (section 3.1) enforced: what a driver may write when.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import type { Arena } from "../../machine/arena.ts";
import { VIRTIO_F, type VirtioDevice } from "./device.ts";
import type { QueueSetup, QueueState } from "./queue.ts";

/** Eight pairs and a control queue of a network card are the most that a device here has. */
export const MAX_QUEUES = 17;

/** Section 4.1.4.3, `struct virtio_pci_common_cfg`: offsets. */
export const COMMON = {
  DEVICE_FEATURE_SELECT: 0x00,
  DEVICE_FEATURE: 0x04,
  DRIVER_FEATURE_SELECT: 0x08,
  DRIVER_FEATURE: 0x0C,
  CONFIG_MSIX_VECTOR: 0x10,
  NUM_QUEUES: 0x12,
  DEVICE_STATUS: 0x14,
  CONFIG_GENERATION: 0x15,
  QUEUE_SELECT: 0x16,
  QUEUE_SIZE: 0x18,
  QUEUE_MSIX_VECTOR: 0x1A,
  QUEUE_ENABLE: 0x1C,
  QUEUE_NOTIFY_OFF: 0x1E,
  QUEUE_DESC: 0x20,
  QUEUE_DRIVER: 0x28,
  QUEUE_DEVICE: 0x30,
} as const;

/** Section 2.1 */
export const STATUS = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** Which status a driver may write after which; 0 is a reset and always allowed. */
const NEXT_STATUS: Record<number, number> = {
  0x0: 0x1,
  0x1: 0x3,
  0x3: 0xB,
  0xB: 0xF,
};

/** VIRTIO_MSI_NO_VECTOR */
const NO_VECTOR = 0xFFFF;

const REQUEST = { NONE: 0, ACTIVATE: 1, RESET: 2 } as const;
const REQUEST_NAMES = ["none", "activate", "reset"] as const;

/** Words that two threads write are changed with Atomics only: status, request, generation. */
export const VirtioPciV1 = struct("virtio_pci", {
  status: ["i32", 1],
  /** What the main loop is to do. */
  request: ["i32", 1],
  config_generation: ["i32", 1],
  device_feature_select: "u32",
  driver_feature_select: "u32",
  driver_feature: ["u32", 2],
  config_msix_vector: "u16",
  queue_select: "u16",
  queue_size: ["u16", MAX_QUEUES],
  queue_msix_vector: ["u16", MAX_QUEUES],
  queue_enable: ["u8", MAX_QUEUES],
  /** Low and high word of each ring's address. */
  queue_desc: ["u32", 2 * MAX_QUEUES],
  queue_driver: ["u32", 2 * MAX_QUEUES],
  queue_device: ["u32", 2 * MAX_QUEUES],
  /** Of a machine that is being saved: whether the device is in use, and how far each queue has got. */
  frozen: "u8",
  next_avail: ["u16", MAX_QUEUES],
  next_used: ["u16", MAX_QUEUES],
});

export class CommonConfig {
  readonly #s;
  readonly #device: VirtioDevice;
  readonly #vectors: number;
  readonly #wakeIo: () => void;
  /** Offered features, low and high word. */
  readonly #offered = new Uint32Array(2);

  constructor(
    arena: Arena,
    device: VirtioDevice,
    options: { vectors: number; wakeIo: () => void },
  ) {
    if (device.queueSizes.length > MAX_QUEUES) {
      throw new RangeError(`Cannot give "${device.name}" more than ${MAX_QUEUES} queues`);
    }
    this.#s = arena.place(`${device.name}.virtio`, VirtioPciV1);
    this.#device = device;
    this.#vectors = options.vectors;
    this.#wakeIo = options.wakeIo;
    for (const bit of [...device.features, VIRTIO_F.VERSION_1]) {
      this.#offered[bit >> 5] |= 1 << (bit & 31);
    }
  }

  powerOn(): void {
    this.#clear();
    Atomics.store(this.#s.status, 0, 0);
  }

  #clear(): void {
    const s = this.#s;
    s.device_feature_select = s.driver_feature_select = s.queue_select = 0;
    s.driver_feature.fill(0);
    s.config_msix_vector = NO_VECTOR;
    s.queue_msix_vector.fill(NO_VECTOR);
    s.queue_enable.fill(0);
    for (const ring of [s.queue_desc, s.queue_driver, s.queue_device]) ring.fill(0);
    this.#device.queueSizes.forEach((size, i) => s.queue_size[i] = size);
  }

  /** The selected queue; -1 where there is none of that number. */
  get #queue(): number {
    const queue = this.#s.queue_select;
    return queue < this.#device.queueSizes.length ? queue : -1;
  }

  read(offset: number, size: number): number {
    // Every register is naturally aligned, and narrower reads of wide ones are allowed.
    const word = this.#readWord(offset & ~3) >>> (8 * (offset & 3));
    return size === 4 ? word : word & (2 ** (8 * size) - 1);
  }

  #readWord(offset: number): number {
    const s = this.#s;
    const q = this.#queue;
    switch (offset) {
      case COMMON.DEVICE_FEATURE_SELECT:
        return s.device_feature_select;
      case COMMON.DEVICE_FEATURE:
        return this.#offered[s.device_feature_select] ?? 0;
      case COMMON.DRIVER_FEATURE_SELECT:
        return s.driver_feature_select;
      case COMMON.DRIVER_FEATURE:
        return s.driver_feature[s.driver_feature_select] ?? 0;
      case COMMON.CONFIG_MSIX_VECTOR:
        return s.config_msix_vector | this.#device.queueSizes.length << 16;
      case COMMON.DEVICE_STATUS:
        return Atomics.load(s.status, 0) | (Atomics.load(s.config_generation, 0) & 0xFF) << 8 |
          s.queue_select << 16;
      case COMMON.QUEUE_SIZE:
        return q < 0 ? 0 : s.queue_size[q] | s.queue_msix_vector[q] << 16;
      case COMMON.QUEUE_ENABLE:
        return q < 0 ? 0 : s.queue_enable[q] | q << 16;
    }
    const ring = this.#ring(offset);
    return ring === undefined || q < 0 ? 0 : ring[q * 2 + ((offset >> 2) & 1)];
  }

  #ring(offset: number): Uint32Array | undefined {
    switch (offset & ~7) {
      case COMMON.QUEUE_DESC:
        return this.#s.queue_desc;
      case COMMON.QUEUE_DRIVER:
        return this.#s.queue_driver;
      case COMMON.QUEUE_DEVICE:
        return this.#s.queue_device;
    }
  }

  write(offset: number, size: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case COMMON.DEVICE_FEATURE_SELECT:
        if (size === 4) s.device_feature_select = value;
        return;
      case COMMON.DRIVER_FEATURE_SELECT:
        if (size === 4) s.driver_feature_select = value;
        return;
      case COMMON.DRIVER_FEATURE:
        // Features are settled between DRIVER and FEATURES_OK (section 3.1.1, steps 4 and 5).
        if (size === 4 && this.#is(0x3) && s.driver_feature_select < 2) {
          s.driver_feature[s.driver_feature_select] = value;
        }
        return;
      case COMMON.CONFIG_MSIX_VECTOR:
        if (size === 2) s.config_msix_vector = this.#vector(value);
        return;
      case COMMON.DEVICE_STATUS:
        return this.#writeStatus(value & 0xFF);
      case COMMON.QUEUE_SELECT:
        if (size === 2) s.queue_select = value;
        return;
    }
    const q = this.#queue;
    // Queues are set up between FEATURES_OK and DRIVER_OK, and frozen once enabled.
    if (q < 0 || !this.#is(0xB) || s.queue_enable[q] === 1) return;
    switch (offset) {
      case COMMON.QUEUE_SIZE:
        if (size === 2) s.queue_size[q] = value;
        return;
      case COMMON.QUEUE_MSIX_VECTOR:
        if (size === 2) s.queue_msix_vector[q] = this.#vector(value);
        return;
      case COMMON.QUEUE_ENABLE:
        if (size === 2 && value === 1) s.queue_enable[q] = 1;
        return;
    }
    const ring = this.#ring(offset);
    if (ring !== undefined && size === 4) ring[q * 2 + ((offset >> 2) & 1)] = value;
  }

  #is(status: number): boolean {
    return Atomics.load(this.#s.status, 0) === status;
  }

  /** Section 4.1.5.1.2.1: a vector that cannot be had reads back as none. */
  #vector(value: number): number {
    return value < this.#vectors ? value : NO_VECTOR;
  }

  #writeStatus(value: number): void {
    const s = this.#s;
    const now = Atomics.load(s.status, 0);
    if (value === 0) {
      if (now === 0) return;
      // The status reads 0 once the main loop has stopped (section 4.1.4.3.2).
      Atomics.store(s.request, 0, REQUEST.RESET);
      this.#wakeIo();
      return;
    }
    if (Atomics.load(s.request, 0) === REQUEST.RESET) return;
    if ((value & STATUS.FAILED) !== 0) {
      Atomics.or(s.status, 0, STATUS.FAILED);
      return;
    }
    if (NEXT_STATUS[now] !== value) return;
    if (value === 0xB && !this.#featuresAcceptable()) return;
    Atomics.store(s.status, 0, value);
    if (value === 0xF) {
      Atomics.store(s.request, 0, REQUEST.ACTIVATE);
      this.#wakeIo();
    }
  }

  #featuresAcceptable(): boolean {
    const d = this.#s.driver_feature;
    return (d[0] & ~this.#offered[0]) === 0 && (d[1] & ~this.#offered[1]) === 0 &&
      this.accepted(VIRTIO_F.VERSION_1);
  }

  // What follows is for the main loop.

  get pending(): typeof REQUEST_NAMES[number] {
    return REQUEST_NAMES[Atomics.load(this.#s.request, 0)];
  }

  /** A reset may have been asked for meanwhile; that request stays. */
  activated(): void {
    Atomics.compareExchange(this.#s.request, 0, REQUEST.ACTIVATE, REQUEST.NONE);
  }

  resetDone(): void {
    this.#clear();
    Atomics.store(this.#s.request, 0, REQUEST.NONE);
    Atomics.store(this.#s.status, 0, 0);
  }

  needsReset(): void {
    Atomics.or(this.#s.status, 0, STATUS.NEEDS_RESET);
  }

  configChanged(): void {
    Atomics.add(this.#s.config_generation, 0, 1);
  }

  /** Keeps how far the queues of a device in use have got; null for one that is not. */
  freeze(positions: readonly (QueueState | null)[] | null): void {
    const s = this.#s;
    s.frozen = positions === null ? 0 : 1;
    positions?.forEach((position, i) => {
      s.next_avail[i] = position?.nextAvail ?? 0;
      s.next_used[i] = position?.nextUsed ?? 0;
    });
  }

  /** The device was in use when its machine was saved, and is not yet again. */
  get isFrozen(): boolean {
    return this.#s.frozen === 1;
  }

  thaw(): void {
    this.#s.frozen = 0;
  }

  /** A bit that the driver has accepted and this device does not offer; -1 where there is none. */
  get unknownFeature(): number {
    for (let bit = 0; bit < 64; bit++) {
      const offered = (this.#offered[bit >> 5] >>> (bit & 31) & 1) === 1;
      if (!offered && this.accepted(bit)) return bit;
    }
    return -1;
  }

  accepted(bit: number): boolean {
    return (this.#s.driver_feature[bit >> 5] >>> (bit & 31) & 1) === 1;
  }

  queue(index: number): QueueSetup | null {
    const s = this.#s;
    if (s.queue_enable[index] === 0) return null;
    const address = (ring: Uint32Array) => ring[index * 2 + 1] * 0x1_0000_0000 + ring[index * 2];
    return {
      index,
      size: s.queue_size[index],
      desc: address(s.queue_desc),
      avail: address(s.queue_driver),
      used: address(s.queue_device),
      ...(this.isFrozen
        ? { state: { nextAvail: s.next_avail[index], nextUsed: s.next_used[index] } }
        : {}),
    };
  }

  get configVector(): number {
    return this.#s.config_msix_vector;
  }

  queueVector(index: number): number {
    return this.#s.queue_msix_vector[index];
  }
}
