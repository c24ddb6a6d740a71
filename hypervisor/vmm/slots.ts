/**
 * The slots behind the hot-plug ports: virtio devices that come and go while the guest runs.
 *
 * What is in a slot lies in the arena, as the data that devices are made from. A thread makes the
 * device for itself when it first looks into the slot after a change, so nobody has to be told.
 *
 * @module
 */
import { MAX_QUEUES } from "../devices/virtio/common_config.ts";
import { VirtioPci } from "../devices/virtio/pci_transport.ts";
import type { Vm } from "../kvm/vm.ts";
import { MAX_HOTPLUG_PORTS, portWindows } from "../machine/address_map.ts";
import {
  type Arena,
  ARENA_BYTES,
  type InnerArena,
  type Sections,
  sectionsWithin,
} from "../machine/arena.ts";
import type { Interrupts, MsiVectors } from "../machine/interrupts.ts";
import { RootPort } from "../machine/pci/root_port.ts";
import { eventfd } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { struct } from "../sys/struct.ts";
import { createDevice, type DeviceSpec } from "./device_specs.ts";

/** For the registers of one device. */
const INNER_BYTES = 32 * 1024;
const MAX_SPEC_BYTES = 4096;

const SlotV1 = struct("slot", {
  /** The {@linkcode DeviceSpec} as JSON. */
  length: "u32",
  spec: ["u8", MAX_SPEC_BYTES],
});

export const NotifyDescriptors = struct("notify_descriptors", { fds: ["i32", MAX_QUEUES] });

/** How large the arena of a guest with so many ports has to be. */
export function arenaBytes(ports: number): number {
  if (!Number.isInteger(ports) || ports < 0 || ports > MAX_HOTPLUG_PORTS) {
    throw new RangeError(`Cannot give a guest ${ports} hot-plug ports`);
  }
  return ARENA_BYTES + ports * (INNER_BYTES + 2 * MAX_SPEC_BYTES);
}

export interface SlotOptions {
  /** From 0. */
  index: number;
  /** How many there are. */
  ports: number;
  physicalBits: number;
  vm: Vm;
  interrupts: Interrupts;
  wakeIo: () => void;
}

export class Slot {
  readonly port: RootPort;
  readonly #arena: Arena;
  readonly #inner: InnerArena;
  readonly #state;
  readonly #vm: Vm;
  readonly #interrupts: Interrupts;
  readonly #wakeIo: () => void;
  /** Set by {@linkcode reserve}: numbers that exist while there is a device. */
  #vectors: MsiVectors | undefined;

  constructor(arena: Arena, options: SlotOptions) {
    const { index, ports, physicalBits, vm, interrupts, wakeIo } = options;
    this.#arena = arena;
    this.#vm = vm;
    this.#interrupts = interrupts;
    this.#wakeIo = wakeIo;
    this.#state = arena.place(`slot${index}`, SlotV1, { local: true });
    this.#inner = arena.reserve(`slot${index}.device`, INNER_BYTES);
    this.port = new RootPort(arena, {
      index,
      ports,
      windows: portWindows(index, physicalBits),
      vectors: interrupts.reserve(1),
      build: () => this.#build(this.#read()).transport.function,
      cut: wakeIo,
    });
  }

  /** Sets vectors aside for a device: after all that there are from the start have theirs. */
  reserve(): void {
    this.#vectors = this.#interrupts.reserve(MAX_QUEUES + 1);
  }

  #read(): DeviceSpec {
    const { length, spec } = this.#state;
    return JSON.parse(new TextDecoder().decode(spec.slice(0, length)));
  }

  #write(spec: DeviceSpec): void {
    const bytes = new TextEncoder().encode(JSON.stringify(spec));
    if (bytes.length > MAX_SPEC_BYTES) {
      throw new RangeError(
        `Cannot plug in "${spec.options.name}": its description takes ${bytes.length} bytes, ` +
          `and ${MAX_SPEC_BYTES} are the most`,
      );
    }
    this.#state.spec.set(bytes);
    this.#state.length = bytes.length;
  }

  /** Makes the device for this thread; `fresh` where no other has, with the registers that were `saved`. */
  #build(spec: DeviceSpec, options: { fresh?: boolean; saved?: Sections } = {}) {
    const arena = this.#arena.within(this.#inner, options);
    const device = createDevice(spec, arena);
    const queues = device.queueSizes.length;
    const vectors = this.#vectors!.take(queues + 1);
    const notifyFds = arena.place("notify", NotifyDescriptors, { local: true }).fds.subarray(
      0,
      queues,
    );
    if (options.fresh) {
      for (let i = 0; i < queues; i++) notifyFds[i] = eventfd();
      vectors.open();
    }
    const transport = new VirtioPci({
      arena,
      vm: this.#vm,
      device,
      vectors,
      notifyFds,
      wakeIo: this.#wakeIo,
      // The guest gives it an address when it finds it.
      base: 0,
    });
    const release = () => {
      vectors.close();
      notifyFds.forEach(close);
    };
    return { transport, release };
  }

  /** Puts the device back that was in this slot of a machine that was saved. */
  restore(spec: DeviceSpec, saved: Sections): { transport: VirtioPci; release: () => void } {
    this.#write(spec);
    const own = sectionsWithin(saved, this.#inner.name);
    const built = this.#build(spec, { fresh: true, saved: own });
    this.port.refill(built.transport.function);
    built.transport.restore();
    return built;
  }

  /**
   * Under the bus lock: puts the device into the empty slot and tells the guest. `release` closes
   * what its interrupts and notifications stand on, once it is taken out and stopped.
   */
  insert(spec: DeviceSpec): { transport: VirtioPci; release: () => void } {
    const built = this.#make(spec);
    this.port.insert(built.transport.function);
    return built;
  }

  /** The same before the guest runs, which finds the device there as it starts. */
  fill(spec: DeviceSpec): { transport: VirtioPci; release: () => void } {
    const built = this.#make(spec);
    this.port.fill(built.transport.function);
    return built;
  }

  #make(spec: DeviceSpec) {
    this.#write(spec);
    const built = this.#build(spec, { fresh: true });
    built.transport.powerOn();
    return built;
  }
}
