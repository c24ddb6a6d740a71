/**
 * virtio over PCI (virtio 1.2, section 4.1): the registers through which a driver configures a
 * device, and the hand-over of its queues to the main loop.
 *
 * Registers are accessed by vCPU workers under the bus lock. Queues are served by the main loop: a
 * driver's notification is an ioeventfd, so it never comes here.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import type { BusDevice } from "../../machine/bus.ts";
import type { MsiVectors } from "../../machine/interrupts.ts";
import { type BarOptions, PciFunction } from "../../machine/pci/function.ts";
import { Msix } from "../../machine/pci/msix.ts";
import type { Vm } from "../../kvm/vm.ts";
import { EEXIST, ENOENT, SysError } from "../../sys/errno.ts";
import { signal } from "../../sys/eventfd.ts";
import { VIRTIO_F, type VirtioDevice } from "./device.ts";
import type { QueueSetup, QueueState } from "./queue.ts";
import { CommonConfig } from "./common_config.ts";
import { addVirtioCapabilities, BAR } from "./pci_capabilities.ts";

/** Vendor and device ids: section 4.1.2. */
const VENDOR = 0x1AF4;
const FIRST_DEVICE = 0x1040;
/** Class and subclass by device id, for `lspci`. */
const CLASSES: Record<number, number> = { 1: 0x0200, 2: 0x0100, 3: 0x0780 };
const CLASS_OTHER = 0x00FF;

export interface TransportOptions {
  arena: Arena;
  vm: Vm;
  vectors: MsiVectors;
  /** Where the BAR lies at power-on. */
  base: number;
  device: VirtioDevice;
  /** Tells the main loop to look at {@linkcode VirtioPci.pending}. */
  wakeIo: () => void;
  /** An eventfd per queue that the driver's notifications signal. */
  notifyFds: Int32Array;
}

export class VirtioPci {
  readonly function: PciFunction;
  readonly device: VirtioDevice;
  readonly #common: CommonConfig;
  readonly #msix: Msix;
  readonly #vm: Vm;
  readonly #notifyFds: Int32Array;

  constructor(options: TransportOptions) {
    const { arena, device, vm } = options;
    this.device = device;
    this.#vm = vm;
    this.#notifyFds = options.notifyFds;
    const bar: BarOptions = {
      size: BAR.SIZE,
      base: options.base,
      device: this.#bar,
      moved: (from, to) => this.#moveNotify(from, to),
    };
    this.function = new PciFunction(arena, device.name, {
      identity: {
        vendor: VENDOR,
        device: FIRST_DEVICE + device.id,
        revision: 1,
        class: CLASSES[device.id] ?? CLASS_OTHER,
        subsystemVendor: VENDOR,
        subsystem: FIRST_DEVICE + device.id,
      },
      bar,
    });
    this.#msix = new Msix(arena, device.name, {
      function: this.function,
      vectors: options.vectors,
      tableOffset: BAR.MSIX_TABLE,
      pendingOffset: BAR.MSIX_PENDING,
    });
    addVirtioCapabilities(this.function, this.#bar);
    this.#common = new CommonConfig(arena, device, {
      vectors: options.vectors.count,
      wakeIo: options.wakeIo,
    });
  }

  powerOn(): void {
    this.function.powerOn();
    this.#msix.powerOn();
    this.#common.powerOn();
    this.device.powerOn?.();
  }

  /**
   * In place of {@linkcode powerOn}, over registers that were saved; throws a RangeError where this
   * device cannot go on from there.
   */
  restore(): void {
    const bit = this.#common.unknownFeature;
    if (bit >= 0) {
      throw new RangeError(
        `Cannot restore ${this.device.name}: its driver uses feature ${bit}, which this host cannot offer`,
      );
    }
    this.device.restore?.();
    this.function.restore();
  }

  readonly #bar: BusDevice = {
    read: (offset, size) => {
      if (offset < BAR.ISR) return this.#common.read(offset - BAR.COMMON, size);
      // Section 4.1.4.5: with MSI-X there is nothing in the ISR, and there is always MSI-X.
      if (offset < BAR.DEVICE) return 0;
      if (offset < BAR.NOTIFY) return this.device.readConfig(offset - BAR.DEVICE, size);
      if (offset < BAR.MSIX_TABLE) return 0;
      if (offset < BAR.MSIX_PENDING) return this.#msix.readTable(offset - BAR.MSIX_TABLE, size);
      return this.#msix.readPending(offset - BAR.MSIX_PENDING, size);
    },
    write: (offset, size, value) => {
      if (offset < BAR.ISR) this.#common.write(offset - BAR.COMMON, size, value);
      else if (offset < BAR.DEVICE) return;
      else if (offset < BAR.NOTIFY) this.device.writeConfig(offset - BAR.DEVICE, size, value);
      else if (offset < BAR.MSIX_TABLE) this.#notify(offset - BAR.NOTIFY);
      else if (offset < BAR.MSIX_PENDING) {
        this.#msix.writeTable(offset - BAR.MSIX_TABLE, size, value);
      }
    },
  };

  // Reached only by an access that no ioeventfd takes, such as one through the configuration window.
  #notify(offset: number): void {
    const fd = this.#notifyFds[Math.floor(offset / BAR.NOTIFY_MULTIPLIER)];
    if (fd !== undefined) signal(fd);
  }

  // A guest may put two BARs in one place, where KVM takes one ioeventfd. The others' notifications
  // then cost an exit, which comes to #notify.
  #moveNotify(from: number, to: number): void {
    this.#notifyFds.forEach((fd, queue) => {
      const offset = BAR.NOTIFY + queue * BAR.NOTIFY_MULTIPLIER;
      if (from !== 0) unless(ENOENT, () => this.#vm.deassignIoeventfd(fd, from + offset));
      if (to !== 0) unless(EEXIST, () => this.#vm.assignIoeventfd(fd, to + offset));
    });
  }

  // What follows is for the main loop.

  /** What the driver asked of the main loop since; "none" where nothing. */
  get pending(): "none" | "activate" | "reset" {
    return this.#common.pending;
  }

  /** The queues as the driver left them at DRIVER_OK; null for those it did not enable. */
  queues(): (QueueSetup | null)[] {
    return this.device.queueSizes.map((_, index) => this.#common.queue(index));
  }

  /** The features that the driver accepted, as bit numbers. */
  features(): Set<number> {
    return new Set(
      [...this.device.features, VIRTIO_F.VERSION_1].filter((bit) => this.#common.accepted(bit)),
    );
  }

  /** Keeps, for a machine that is being saved, how far a device in use has got; null for one that is not. */
  freeze(positions: readonly (QueueState | null)[] | null): void {
    this.#common.freeze(positions);
  }

  /** The device was in use when its machine was saved, and is not yet again. */
  get isFrozen(): boolean {
    return this.#common.isFrozen;
  }

  thaw(): void {
    this.#common.thaw();
  }

  activated(): void {
    this.#common.activated();
  }

  resetDone(): void {
    this.#common.resetDone();
  }

  /** Section 2.1.2: DEVICE_NEEDS_RESET, and the configuration interrupt that tells the driver. */
  needsReset(): void {
    this.#common.needsReset();
    this.#msix.signal(this.#common.configVector);
  }

  /** Tells the driver that the device's configuration changed (section 2.5). */
  configChanged(): void {
    this.#common.configChanged();
    this.#msix.signal(this.#common.configVector);
  }

  interruptQueue(index: number): void {
    this.#msix.signal(this.#common.queueVector(index));
  }

  queueInterruptFd(index: number): number {
    return this.#msix.fd(this.#common.queueVector(index));
  }

  queueNotifyFd(index: number): number {
    return this.#notifyFds[index];
  }
}

/** Calls `action`; that it fails with `code` is no error. */
function unless(code: number, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== code) throw error;
  }
}
