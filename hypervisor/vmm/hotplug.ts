/**
 * Plugs devices in and out of a running guest: by the thread that serves them.
 *
 * @module
 */
import type { VirtioDevice } from "../devices/virtio/device.ts";
import type { VirtioPci } from "../devices/virtio/pci_transport.ts";
import type { PlugConfig } from "./control.ts";
import { closeDevice, type DeviceSpec, openPlugged } from "./device_specs.ts";
import type { Pc } from "./pc.ts";
import type { Slot } from "./slots.ts";

export interface HotplugHost {
  /** How many CPUs the guest has. */
  readonly cpus: number;
  /** Stops the device: nothing of it is in flight when this returns. */
  stop(transport: VirtioPci): void;
  /** A device was put in, which no driver can use before this returns. */
  plugged(device: VirtioDevice): void;
  /** The guest has let go of the device, or had to. */
  unplugged(name: string): void;
  /** Calls `action` once, `ms` milliseconds from now. */
  after(ms: number, action: () => void): void;
  /** Something a person should know. */
  log(line: string): void;
}

/**
 * Linux takes no notice of a button that is pressed while it is busy with the slot. It answers one
 * that it has noticed by blinking, for 5 s, so that this is late enough to press again.
 */
const PRESS_AGAIN_MS = 15_000;
/** A guest that minds none of these will not mind another. */
const MAX_PRESSES = 8;

/** A device in a slot, as data: what a machine has as it starts, or had when it was saved. */
export interface PluggedDevice {
  name: string;
  /** From 0. */
  slot: number;
  device: PlugConfig;
}

/** What stands behind one in this process. */
export interface BuiltDevice {
  spec: DeviceSpec;
  transport: VirtioPci;
  release: () => void;
}

interface Plugged {
  device: PlugConfig;
  spec: DeviceSpec;
  slot: Slot;
  transport: VirtioPci;
  release: () => void;
  /** How often the slot's button was pressed; 0 where nobody wants it out. */
  presses: number;
}

export class Hotplug {
  readonly #pc: Pc;
  readonly #host: HotplugHost;
  readonly #plugged = new Map<string, Plugged>();

  constructor(pc: Pc, host: HotplugHost) {
    this.#pc = pc;
    this.#host = host;
  }

  /** A name that no device has: its kind and the lowest number that is free. */
  #nameFor(kind: "block" | "net"): string {
    const taken = new Set(this.#pc.virtio.map(({ device }) => device.name));
    for (let n = 0;; n++) if (!taken.has(`${kind}${n}`)) return `${kind}${n}`;
  }

  /** Throws where there is no port to plug anything into. */
  #freeSlot(): Slot {
    const { slots } = this.#pc;
    const slot = slots.find(({ port }) => !port.isOccupied);
    if (slot !== undefined) return slot;
    throw new RangeError(
      slots.length === 0
        ? "Cannot plug a device in: the guest has no hot-plug ports (hotplugPorts, at its start)"
        : `Cannot plug a device in: all ${slots.length} hot-plug ports are taken`,
    );
  }

  /** Opens a device and puts it into a free slot, where the guest finds it; its name. */
  plug(device: PlugConfig): string {
    const slot = this.#freeSlot();
    const name = this.#nameFor("disk" in device ? "block" : "net");
    const spec = openPlugged(device, { name, cpus: this.#host.cpus });
    try {
      const { transport, release } = this.#locked(() => slot.insert(spec));
      this.#host.plugged(transport.device);
      this.#pc.virtio.push(transport);
      this.#plugged.set(name, { device, spec, slot, transport, release, presses: 0 });
    } catch (error) {
      closeDevice(spec);
      throw error;
    }
    return name;
  }

  /** What is plugged in. */
  devices(): PluggedDevice[] {
    return [...this.#plugged].map(([name, { device, slot }]) => {
      return { name, device, slot: this.#pc.slots.indexOf(slot) };
    });
  }

  /** What stands behind each. */
  specs(): DeviceSpec[] {
    return [...this.#plugged.values()].map(({ spec }) => spec);
  }

  /** Takes on what was in a slot before this was there: {@linkcode Slot.fill}, {@linkcode Slot.restore}. */
  takeOn(one: PluggedDevice & BuiltDevice): void {
    const { name, device, spec, transport, release } = one;
    const slot = this.#pc.slots[one.slot];
    const plugged = { device, spec, slot, transport, release, presses: 0 };
    this.#plugged.set(name, plugged);
    if (!slot.port.isLeaving) return;
    // The guest was asked to let go of it, and may not have noticed.
    plugged.presses = 1;
    this.#pressAgain(name, plugged);
  }

  /**
   * Asks the guest to let go of a device that was plugged in; with `force` it is taken out at once,
   * as a disk that somebody pulls out: what the guest has not written to it yet is lost.
   */
  unplug(name: string, options: { force?: boolean } = {}): void {
    const plugged = this.#plugged.get(name);
    if (plugged === undefined) {
      const known = this.#pc.virtio.some(({ device }) => device.name === name);
      throw new RangeError(
        `Cannot unplug "${name}": ${
          known ? "it was there when the guest started, for good" : "there is no such device"
        }`,
      );
    }
    if (options.force) return this.#takeOut(name, plugged);
    if (!this.#locked(() => plugged.slot.port.press())) {
      throw new RangeError(`Cannot unplug "${name}": the guest is already at it`);
    }
    if (plugged.presses === 0) this.#pressAgain(name, plugged);
    plugged.presses = 1;
  }

  #pressAgain(name: string, plugged: Plugged): void {
    this.#host.after(PRESS_AGAIN_MS, () => {
      if (this.#plugged.get(name) !== plugged) return;
      if (plugged.presses === MAX_PRESSES) {
        plugged.presses = 0;
        return this.#host.log(`The guest does not let go of ${name}: it can be taken out by force`);
      }
      plugged.presses++;
      this.#locked(() => plugged.slot.port.press());
      this.#pressAgain(name, plugged);
    });
  }

  /** After the I/O loop was woken: resets devices whose power the guest has cut, or takes them out. */
  serve(): void {
    for (const [name, plugged] of this.#plugged) {
      const { port } = plugged.slot;
      if (!port.isSettling) continue;
      this.#host.stop(plugged.transport);
      if (port.isLeaving && !port.isPowered) {
        this.#takeOut(name, plugged);
        continue;
      }
      this.#locked(() => {
        plugged.transport.resetDone();
        plugged.transport.powerOn();
        port.settled();
      });
    }
  }

  #takeOut(name: string, plugged: Plugged): void {
    this.#locked(() => plugged.slot.port.remove());
    this.#host.stop(plugged.transport);
    plugged.release();
    closeDevice(plugged.spec);
    this.#plugged.delete(name);
    this.#pc.virtio.splice(this.#pc.virtio.indexOf(plugged.transport), 1);
    this.#host.unplugged(name);
  }

  #locked<T>(action: () => T): T {
    this.#pc.lock.acquire();
    try {
      return action();
    } finally {
      this.#pc.lock.release();
    }
  }
}
