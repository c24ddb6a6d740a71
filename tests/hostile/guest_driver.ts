/**
 * A guest's driver of one virtio PCI device, as part of a {@linkcode GuestProgram}. It can do everything
 * right, and each thing wrong (virtio 1.2, sections 2.7, 3.1 and 4.1).
 *
 * @module
 */
import { MMIO32 } from "../../hypervisor/machine/address_map.ts";
import { PCI } from "../../hypervisor/machine/pci/function.ts";
import { COMMON, STATUS } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import type { GuestProgram, PciTarget } from "./guest_program.ts";

export const F_NEXT = 1;
export const F_WRITE = 2;
export const F_INDIRECT = 4;

/** Feature bits 32 to 63. */
const VERSION_1 = 1;
const COMMAND_MEMORY = 2;
const COMMAND_MASTER = 4;
const VENDOR = 0x1AF4;
const FIRST_DEVICE = 0x1040;
/** Entries that a queue has unless a test says otherwise. */
const QUEUE_SIZE = 64;
const RING_BYTES = 0x4000;

export interface Descriptor {
  address: number | bigint;
  length: number;
  flags?: number;
  next?: number;
}

/** What a queue is set up with; a test may give it anything. */
export interface QueueChoice {
  size?: number;
  desc?: number | bigint;
  avail?: number | bigint;
  used?: number | bigint;
  enable?: boolean;
}

/** Bytes of a common register. */
const WIDTH: Partial<Record<number, 1 | 2>> = {
  [COMMON.CONFIG_MSIX_VECTOR]: 2,
  [COMMON.NUM_QUEUES]: 2,
  [COMMON.DEVICE_STATUS]: 1,
  [COMMON.CONFIG_GENERATION]: 1,
  [COMMON.QUEUE_SELECT]: 2,
  [COMMON.QUEUE_SIZE]: 2,
  [COMMON.QUEUE_MSIX_VECTOR]: 2,
  [COMMON.QUEUE_ENABLE]: 2,
  [COMMON.QUEUE_NOTIFY_OFF]: 2,
};

export interface GuestDriverOptions {
  nth?: number;
  queues?: number;
  /** 0 without. */
  bus?: number;
  /** Where its BAR is to lie; anywhere without. */
  bar?: number;
}

/** How many BARs each program has given a place. */
const placed = new WeakMap<GuestProgram, number>();

export class GuestDriver {
  readonly program: GuestProgram;
  readonly pci: PciTarget;
  /** Where the BAR lies. */
  readonly bar: number;
  /** How many queues it sets up. */
  readonly queues: number;
  readonly #rings: number;
  /** How far each queue's rings have got. */
  readonly #avail: number[] = [];
  readonly #used: number[] = [];

  /** Finds the `nth` device of a kind, on bus 0 or another, and gives its BAR a place. */
  constructor(program: GuestProgram, id: number, options: GuestDriverOptions = {}) {
    const { nth = 0, bus } = options;
    this.program = program;
    this.pci = program.find(VENDOR, FIRST_DEVICE + id, { nth, bus });
    const number = placed.get(program) ?? 0;
    placed.set(program, number + 1);
    this.bar = options.bar ?? MMIO32.start + number * BAR.SIZE;
    this.queues = options.queues ?? 1;
    this.#rings = program.allocate(this.queues * RING_BYTES);
    this.moveBar(this.bar);
  }

  /** Programs the BAR and lets it answer there. */
  moveBar(address: number): void {
    this.program.configWrite(this.pci, PCI.COMMAND, 2, 0);
    this.program.configWrite(this.pci, PCI.BASE_ADDRESS_0, 4, address % 2 ** 32);
    this.program.configWrite(this.pci, PCI.BASE_ADDRESS_1, 4, Math.floor(address / 2 ** 32));
    this.program.configWrite(this.pci, PCI.COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER);
  }

  write(register: number, value: number, size: 1 | 2 | 4 = WIDTH[register] ?? 4): void {
    this.program.write(this.bar + register, size, value);
  }

  read(register: number, size: 1 | 2 | 4 = WIDTH[register] ?? 4): void {
    this.program.read(this.bar + register, size);
  }

  /** Expects a register of the common configuration to be `wanted`. */
  expect(register: keyof typeof COMMON, wanted: number): void {
    this.read(COMMON[register]);
    this.program.expect(register, wanted);
  }

  reset(): void {
    this.write(COMMON.DEVICE_STATUS, 0);
    this.program.wait(this.bar + COMMON.DEVICE_STATUS, 1, 0);
  }

  /** Waits for DEVICE_NEEDS_RESET, then expects it to be said once more. */
  expectNeedsReset(): void {
    this.program.wait(
      this.bar + COMMON.DEVICE_STATUS,
      1,
      STATUS.NEEDS_RESET,
      STATUS.NEEDS_RESET,
    );
    this.read(COMMON.DEVICE_STATUS);
    this.program.expect("status", (value) => (value & STATUS.NEEDS_RESET) !== 0);
  }

  /** Where queue `index`'s rings lie where a test does not say otherwise. */
  rings(index = 0, size = QUEUE_SIZE): { desc: number; avail: number; used: number } {
    const desc = this.#rings + index * RING_BYTES;
    return { desc, avail: desc + 16 * size, used: desc + 0x3000 };
  }

  /** From reset up to FEATURES_OK. */
  negotiate(features = 0): void {
    this.reset();
    for (const status of [0x1, 0x3]) this.write(COMMON.DEVICE_STATUS, status);
    for (const [select, bits] of [[0, features], [1, VERSION_1]]) {
      this.write(COMMON.DRIVER_FEATURE_SELECT, select);
      this.write(COMMON.DRIVER_FEATURE, bits);
    }
    this.write(COMMON.DEVICE_STATUS, 0xB);
    for (let index = 0; index < this.queues; index++) {
      this.#avail[index] = this.#used[index] = 0;
      this.program.fill(this.#rings + index * RING_BYTES, RING_BYTES);
    }
  }

  setUpQueue(index: number, choice: QueueChoice = {}): void {
    const { size = QUEUE_SIZE, enable = true } = choice;
    const rings = { ...this.rings(index), ...choice };
    this.write(COMMON.QUEUE_SELECT, index);
    this.write(COMMON.QUEUE_SIZE, size);
    for (
      const [register, address] of [
        [COMMON.QUEUE_DESC, rings.desc],
        [COMMON.QUEUE_DRIVER, rings.avail],
        [COMMON.QUEUE_DEVICE, rings.used],
      ] as const
    ) {
      this.write(register, Number(BigInt(address) & 0xFFFF_FFFFn));
      this.write(register + 4, Number(BigInt(address) >> 32n & 0xFFFF_FFFFn));
    }
    if (enable) this.write(COMMON.QUEUE_ENABLE, 1);
  }

  driverOk(): void {
    this.write(COMMON.DEVICE_STATUS, 0xF);
  }

  /** Everything that a good driver does; `queues` changes what those of these numbers are given. */
  start(options: { features?: number; queues?: Record<number, QueueChoice> } = {}): void {
    this.negotiate(options.features);
    for (let index = 0; index < this.queues; index++) {
      this.setUpQueue(index, options.queues?.[index]);
    }
    this.driverOk();
  }

  /** Writes one descriptor of the table at `table`. */
  describe(index: number, descriptor: Descriptor, table = this.rings().desc): void {
    const at = table + 16 * index;
    const { address, length, flags = 0, next = 0 } = descriptor;
    this.program.write(at, 8, address);
    this.program.write(at + 8, 4, length);
    this.program.write(at + 12, 4, (flags | next << 16) >>> 0);
  }

  /** Writes descriptors 0, 1, ... of queue `queue` as one chain. */
  chain(descriptors: readonly Descriptor[], queue = 0): void {
    const { desc } = this.rings(queue);
    descriptors.forEach((one, i) => {
      const more = i + 1 < descriptors.length;
      this.describe(
        i,
        { ...one, flags: (one.flags ?? 0) | (more ? F_NEXT : 0), next: i + 1 },
        desc,
      );
    });
  }

  /** Makes heads available in one step. */
  offer(heads: readonly number[], queue = 0): void {
    const { avail } = this.rings(queue);
    for (const head of heads) {
      this.program.write(avail + 4 + 2 * (this.#avail[queue]++ % QUEUE_SIZE), 2, head);
    }
    this.setAvailIndex(this.#avail[queue] & 0xFFFF, queue);
  }

  setAvailIndex(value: number, queue = 0): void {
    this.program.write(this.rings(queue).avail + 2, 2, value);
  }

  kick(queue = 0): void {
    this.program.write(this.bar + BAR.NOTIFY + queue * BAR.NOTIFY_MULTIPLIER, 2, queue);
  }

  /** Waits for the next used chain and expects it to be `head`'s, with `written` bytes. */
  expectUsed(
    head: number,
    written: number | ((value: number) => boolean),
    queue = 0,
  ): void {
    const { used } = this.rings(queue);
    const at = used + 4 + 8 * (this.#used[queue]++ % QUEUE_SIZE);
    this.program.wait(used + 2, 2, this.#used[queue] & 0xFFFF);
    this.program.read(at, 4);
    this.program.expect("used head", head);
    this.program.read(at + 4, 4);
    this.program.expect("used length", written);
  }

  /** One chain, from the first descriptor to its return. */
  roundTrip(
    descriptors: readonly Descriptor[],
    written: number | ((value: number) => boolean),
    queue = 0,
  ): void {
    this.chain(descriptors, queue);
    this.offer([0], queue);
    this.kick(queue);
    this.expectUsed(0, written, queue);
  }
}
