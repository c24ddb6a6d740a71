/**
 * A PCI root with hot-plug ports, and what the threads of a VMM and a guest's driver do with it.
 *
 * @module
 */
import { BRIDGE } from "../bridge.ts";
import { EXPRESS, INDICATOR, SLOT_CONTROL } from "../express.ts";
import { ECAM, MMIO32, mmio64, portWindows } from "../../address_map.ts";
import { Arena } from "../../arena.ts";
import { Bus } from "../../bus.ts";
import { Interrupts } from "../../interrupts.ts";
import { FakeVm } from "../../testing/fake_vm.ts";
import { PCI, PciFunction } from "../function.ts";
import { PciRoot } from "../root.ts";
import { RootPort } from "../root_port.ts";

export const BITS = 39;
export const PORTS = 2;
/** Where the capabilities of a port are. */
export const EXPRESS_AT = 0x40;
export const MSI_AT = EXPRESS_AT + EXPRESS.LENGTH;
/** The port's slot control when its power is on and everything is reported. */
export const ALL_ON = SLOT_CONTROL.ATTENTION_BUTTON_ENABLE | SLOT_CONTROL.PRESENCE_ENABLE |
  SLOT_CONTROL.INTERRUPT_ENABLE | SLOT_CONTROL.LINK_ENABLE | INDICATOR.ON;

const CARD_BYTES = 0x1000;
const INNER_BYTES = 16 * 1024;
const MSI_ADDRESS = 0xFEE0_0000;

/** One thread's view: root, ports and buses. */
export class HotplugThread {
  readonly root: PciRoot;
  readonly ports: RootPort[];
  readonly memory = new Bus();
  readonly io = new Bus();
  /** Ports whose card lost its power. */
  readonly cut: number[] = [];
  readonly #arena: Arena;
  readonly #inner;

  constructor(arena: Arena, interrupts: Interrupts) {
    this.#arena = arena;
    this.root = new PciRoot(arena);
    this.ports = Array.from({ length: PORTS }, (_, index) =>
      new RootPort(arena, {
        index,
        ports: PORTS,
        windows: portWindows(index, BITS),
        vectors: interrupts.reserve(1),
        build: () => this.card(index),
        cut: () => this.cut.push(index),
      }));
    for (const port of this.ports) this.root.addPort(port);
    this.root.attach(this.memory, this.io, [mmio64(BITS), MMIO32]);
    this.#inner = this.ports.map((_, i) => arena.reserve(`slot${i}`, INNER_BYTES));
  }

  /** A card whose registers read as their offset, in port `index`'s slot. */
  card(index: number, options: { fresh?: boolean } = {}): PciFunction {
    const card = new PciFunction(this.#arena.within(this.#inner[index], options), "card", {
      identity: { vendor: 0x1AF4, device: 0x1042, class: 0x0100 },
      bar: {
        size: CARD_BYTES,
        base: 0,
        device: { read: (offset) => 0x1000 + offset, write: () => {} },
      },
    });
    if (options.fresh) card.powerOn();
    return card;
  }

  fill(index: number): void {
    this.ports[index].fill(this.card(index, { fresh: true }));
  }

  insert(index: number): void {
    this.ports[index].insert(this.card(index, { fresh: true }));
  }

  config(index: number, register: number, size = 2): number {
    return this.memory.read(portAddress(index) + register, size);
  }

  configure(index: number, register: number, value: number, size = 2): void {
    this.memory.write(portAddress(index) + register, size, value);
  }

  /** What answers at device 0 of `bus`. */
  vendor(bus: number): number {
    return this.memory.read(ECAM.start + bus * ECAM.busLength, 2);
  }

  slotControl(index: number, value: number): void {
    this.configure(index, EXPRESS_AT + EXPRESS.SLOT_CONTROL, value);
  }

  get slotStatus(): number[] {
    return this.ports.map((_, i) => this.config(i, EXPRESS_AT + EXPRESS.SLOT_STATUS));
  }

  clearStatus(index: number): void {
    this.configure(index, EXPRESS_AT + EXPRESS.SLOT_STATUS, 0xFFFF);
  }

  linkActive(index: number): boolean {
    return (this.config(index, EXPRESS_AT + EXPRESS.LINK_STATUS) & 1 << 13) !== 0;
  }

  /** As the guest's hot-plug driver at its start: memory, interrupt; then the slot's power. */
  startDriver(index: number): void {
    this.configure(index, PCI.COMMAND, 0x6);
    this.configure(index, MSI_AT + 4, MSI_ADDRESS, 4);
    this.configure(index, MSI_AT + 12, index);
    this.configure(index, MSI_AT + 2, 1);
    this.slotControl(index, ALL_ON);
  }

  /** Gives the card behind port `index` an address within the port's window, and turns it on. */
  mapCard(index: number, offset = 0): number {
    const bus = this.config(index, BRIDGE.SECONDARY_BUS, 1);
    const at = ECAM.start + bus * ECAM.busLength;
    const address = portWindows(index, BITS).memory.start + offset;
    this.memory.write(at + PCI.BASE_ADDRESS_0, 4, address);
    this.memory.write(at + PCI.BASE_ADDRESS_1, 4, 0);
    this.memory.write(at + PCI.COMMAND, 2, 2);
    return address;
  }
}

/** The ports are the functions of the last device of bus 0. */
function portAddress(index: number): number {
  return ECAM.start + 31 * 0x8000 + index * 0x1000;
}

interface HotplugPc extends Disposable {
  fake: FakeVm;
  main: HotplugThread;
  vcpu: HotplugThread;
}

/** Two threads over one arena, the machine powered on. */
export function hotplugPc(): HotplugPc {
  const fake = new FakeVm();
  const buffer = new SharedArrayBuffer(256 * 1024);
  const thread = () => {
    const arena = new Arena(buffer);
    const interrupts = new Interrupts(arena, fake.vm);
    return { interrupts, thread: new HotplugThread(arena, interrupts) };
  };
  const main = thread();
  main.interrupts.create([], PORTS);
  main.thread.root.powerOn();
  for (const port of main.thread.ports) port.powerOn();
  return {
    fake,
    main: main.thread,
    vcpu: thread().thread,
    [Symbol.dispose]: () => main.interrupts.close(0, PORTS),
  };
}
