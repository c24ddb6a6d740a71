/**
 * The PC: machine and devices wired together. Every thread of a VMM builds the same one over the same
 * arena; what a thread does with it depends on the thread.
 *
 * @module
 */
import { AcpiRegisters } from "../devices/acpi_registers.ts";
import { RtcMc146818 } from "../devices/rtc_mc146818.ts";
import { Uart16550 } from "../devices/uart16550.ts";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { BAR } from "../devices/virtio/pci_capabilities.ts";
import { VirtioPci } from "../devices/virtio/pci_transport.ts";
import { Vm } from "../kvm/vm.ts";
import { GENERATION_GSI, newGeneration } from "../machine/acpi/generation.ts";
import { ACPI_PORT, POWER_BUTTON_GSI } from "../machine/acpi/registers.ts";
import { GSI, MMIO32, mmio64, PORT } from "../machine/address_map.ts";
import { Arena, type Sections } from "../machine/arena.ts";
import { Bus } from "../machine/bus.ts";
import { Interrupts } from "../machine/interrupts.ts";
import { Lock } from "../machine/lock.ts";
import type { GuestMemory } from "../machine/memory.ts";
import { guestMemory, type MemorySpec } from "../machine/ram.ts";
import { PciRoot } from "../machine/pci/root.ts";
import { eventfd, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import type { ExitReason } from "./control.ts";
import { createDevice, type DeviceSpec } from "./device_specs.ts";
import { GuestLife } from "./lifecycle.ts";
import { NotifyDescriptors, Slot } from "./slots.ts";

/** What a thread needs to build the PC; passes by structured clone. */
export interface PcSpec {
  arena: SharedArrayBuffer;
  memory: MemorySpec;
  vmFd: number;
  /** An eventfd on which the main loop waits. */
  wakeIoFd: number;
  physicalBits: number;
  devices: DeviceSpec[];
  /** Slots for devices that come later; see `arenaBytes`. */
  hotplugPorts: number;
}

/** How the PC reaches the rest of its VMM from this thread. */
export interface PcHost {
  /** The guest ended itself. */
  ended(reason: ExitReason): void;
  /** The serial port has something for the host, or room for more. */
  serialReady(): void;
}

export class Pc {
  /** What it was made from. */
  readonly spec: PcSpec;
  readonly arena: Arena;
  readonly lock: Lock;
  readonly life: GuestLife;
  readonly memoryBus = new Bus();
  readonly portBus = new Bus();
  readonly serial: Uart16550;
  /** The devices; of those in slots, what this thread has put there. */
  readonly virtio: VirtioPci[] = [];
  readonly slots: readonly Slot[];
  readonly memory: GuestMemory;
  /** An eventfd that wakes the main loop. */
  readonly wakeIoFd: number;
  readonly #interrupts: Interrupts;
  readonly #pci: PciRoot;
  readonly #rtc: RtcMc146818;
  readonly #vectors: number;
  readonly #notify: { fds: Int32Array; queues: number }[] = [];

  constructor(spec: PcSpec, host: PcHost) {
    this.spec = spec;
    this.wakeIoFd = spec.wakeIoFd;
    const arena = this.arena = new Arena(spec.arena);
    const vm = new Vm(spec.vmFd);
    // First, so that a thread that cannot build a PC can still say so.
    this.life = new GuestLife(arena);
    this.lock = new Lock(arena, "vmm.lock");
    this.memory = guestMemory(arena, spec.memory);
    this.#interrupts = new Interrupts(arena, vm);
    this.#pci = new PciRoot(arena);
    this.serial = new Uart16550(arena, {
      name: "serial0",
      interrupt: () => this.#interrupts.pulse(GSI.COM1),
      wakeHost: () => host.serialReady(),
    });
    this.#rtc = new RtcMc146818(arena);
    const acpi = new AcpiRegisters({
      powerOff: () => host.ended("poweroff"),
      reset: () => host.ended("reboot"),
    });
    this.portBus.attach(PORT.COM1, 8, this.serial);
    this.portBus.attach(PORT.RTC, 2, this.#rtc);
    this.portBus.attach(PORT.ACPI, ACPI_PORT.LENGTH, acpi);
    const window = mmio64(spec.physicalBits);
    const wakeIo = () => signal(spec.wakeIoFd);
    const { physicalBits, hotplugPorts: ports } = spec;
    const interrupts = this.#interrupts;
    this.slots = Array.from(
      { length: ports },
      (_, index) => new Slot(arena, { index, ports, physicalBits, vm, interrupts, wakeIo }),
    );
    for (const { port } of this.slots) this.#pci.addPort(port);
    this.#pci.attach(this.memoryBus, this.portBus, [window, MMIO32]);
    spec.devices.forEach((device, i) => {
      const transport = this.#plugIn(createDevice(device, arena), {
        vm,
        wakeIo,
        base: window.start + i * BAR.SIZE,
      });
      this.#pci.plug(i + 1, transport.function);
    });
    this.#vectors = interrupts.reserved;
    for (const slot of this.slots) slot.reserve();
  }

  #plugIn(
    device: VirtioDevice,
    options: { vm: Vm; wakeIo: () => void; base: number },
  ): VirtioPci {
    const queues = device.queueSizes.length;
    const name = `${device.name}.notify`;
    const { fds } = this.arena.place(name, NotifyDescriptors, { local: true });
    this.#notify.push({ fds, queues });
    const transport = new VirtioPci({
      ...options,
      arena: this.arena,
      device,
      // One for each queue and one for changes of the configuration.
      vectors: this.#interrupts.reserve(queues + 1),
      notifyFds: fds.subarray(0, queues),
    });
    this.virtio.push(transport);
    return transport;
  }

  /** Once, by the thread that sets the machine up, before any other builds it. */
  powerOn(): void {
    this.#openDescriptors();
    this.#pci.powerOn();
    for (const { port } of this.slots) port.powerOn();
    this.serial.powerOn();
    this.#rtc.powerOn();
    for (const device of this.virtio) device.powerOn();
  }

  #openDescriptors(): void {
    for (const { fds, queues } of this.#notify) {
      for (let i = 0; i < queues; i++) fds[i] = eventfd();
    }
    this.#interrupts.create([GSI.COM1, POWER_BUTTON_GSI, GENERATION_GSI], this.#vectors);
  }

  /**
   * In place of {@linkcode powerOn}, with the registers of a machine that was saved. What was plugged in
   * is put back by `plugIn`. Throws a RangeError where this PC cannot go on from them. Other threads may
   * have built theirs already, if they do not use it yet.
   */
  restore(saved: Sections, plugIn: () => void): void {
    this.arena.load(saved);
    // All routes at once: KVM takes the whole table each time.
    this.#interrupts.together(() => {
      this.#openDescriptors();
      this.memory.restore();
      this.serial.restore();
      this.#pci.restore();
      for (const { port } of this.slots) port.restore();
      for (const device of this.virtio) device.restore();
      plugIn();
    });
  }

  /** Closes the eventfds that the thread which set the machine up has made; nothing of it runs any more. */
  close(): void {
    for (const { fds, queues } of this.#notify) {
      fds.subarray(0, queues).filter((fd) => fd > 0).forEach(close);
    }
    this.#interrupts.closeAll();
  }

  /** With devices at rest and vCPUs held: returns when the arena and KVM's interrupt chips have all. */
  settle(): void {
    this.#interrupts.settle();
  }

  pressPowerButton(): void {
    this.#interrupts.pulse(POWER_BUTTON_GSI);
  }

  /** Tells the guest that it is a copy of itself or comes from its past. */
  changeGeneration(): void {
    newGeneration(this.memory);
    this.#interrupts.pulse(GENERATION_GSI);
  }
}
