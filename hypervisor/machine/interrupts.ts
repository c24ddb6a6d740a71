/**
 * How devices interrupt: an eventfd per line or MSI vector, which KVM turns into an interrupt
 * (irqfd), and the table that says into which (GSI routing).
 *
 * @module
 */
import {
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
} from "../kvm/ioctls.ts";
import { IrqRouting, IrqRoutingEntry } from "../kvm/structs.ts";
import type { Vm } from "../kvm/vm.ts";
import { eventfd, isSignalled, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { struct } from "../sys/struct.ts";
import { GSI } from "./address_map.ts";
import type { Arena } from "./arena.ts";

const IOAPIC_PINS = 24;
export const MAX_MSI = 512;

/** Made of the devices' own registers: MSI-X tables, MSI capabilities. */
const MsiRoutes = struct("msi_routes", {
  /** 1 where a route is set; then a message for the vector's address and data. */
  active: ["u8", MAX_MSI],
  address_lo: ["u32", MAX_MSI],
  address_hi: ["u32", MAX_MSI],
  data: ["u32", MAX_MSI],
});

/** 1 where a vector without a route is signalled. In a running machine that is in its eventfd. */
const PendingV1 = struct("interrupts_pending", { msi: ["u8", MAX_MSI] });

/** Descriptor numbers; they mean something in this process only. */
const Descriptors = struct("interrupt_descriptors", {
  line: ["i32", IOAPIC_PINS],
  msi: ["i32", MAX_MSI],
});

/** 1 where a line was signalled since all that was signalled had come to KVM's interrupt chips. */
const Pulsed = struct("interrupts_pulsed", { line: ["u8", IOAPIC_PINS] });

export class Interrupts {
  readonly #vm: Vm;
  readonly #routes;
  readonly #fds;
  readonly #pending;
  readonly #pulsed;
  #next = 0;
  /** The vectors that were routed since routes are set all at once; undefined while they are not. */
  #batch: number[] | undefined;
  // KVM wants the whole table at each change, so it is built in place.
  readonly #table = new Uint8Array(
    IrqRouting.size + (IOAPIC_PINS + 16 + MAX_MSI) * IrqRoutingEntry.size,
  );
  readonly #words = new Uint32Array(this.#table.buffer);

  constructor(arena: Arena, vm: Vm) {
    this.#vm = vm;
    this.#routes = arena.place("interrupts.routes", MsiRoutes, { local: true });
    this.#fds = arena.place("interrupts.descriptors", Descriptors, { local: true });
    this.#pending = arena.place("interrupts.pending", PendingV1);
    this.#pulsed = arena.place("interrupts.pulsed", Pulsed, { local: true });
  }

  /**
   * Once, by the thread that sets the machine up: makes the eventfds and the legacy routes, these with all others
   * where routes are set {@linkcode Interrupts.together}.
   */
  create(lines: readonly number[], vectors: number): void {
    for (const line of lines) {
      this.#fds.line[line] = eventfd();
      this.#vm.assignIrqfd(this.#fds.line[line], line);
    }
    this.#fds.msi.fill(-1);
    this.open(0, vectors);
    if (this.#batch === undefined) this.#commit();
  }

  /** Makes the eventfds of vectors that were reserved for a device that comes later. */
  open(first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.#fds.msi[i] = eventfd();
      if (this.#pending.msi[i] === 1) signal(this.#fds.msi[i]);
      this.#pending.msi[i] = 0;
    }
  }

  /** Calls `action`, after which all vectors that it has routed get their routes at once. */
  together(action: () => void): void {
    const batch: number[] = this.#batch = [];
    try {
      action();
    } finally {
      this.#batch = undefined;
    }
    this.#commit();
    for (const index of batch) this.#assign(index);
  }

  /**
   * With nobody at work: notes in the arena what is pending, and returns when all that was signalled
   * has come to KVM's interrupt chips, whose state then has it.
   */
  settle(): void {
    const { line, msi } = this.#fds;
    for (let i = 0; i < IOAPIC_PINS; i++) {
      if (line[i] === 0 || Atomics.exchange(this.#pulsed.line, i, 0) === 0) continue;
      // An edge on a line goes its way by a work queue of the kernel's; an irqfd that is taken off is
      // waited for there, which takes up to some milliseconds.
      this.#vm.deassignIrqfd(line[i], i);
      this.#vm.assignIrqfd(line[i], i);
    }
    for (let i = 0; i < this.#next; i++) {
      const pends = msi[i] > 0 && this.#routes.active[i] === 0 && isSignalled(msi[i]);
      this.#pending.msi[i] = pends ? 1 : 0;
    }
  }

  /** Closes the eventfds of a device that is gone: what signals one hereafter signals nobody. */
  close(first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      this.unroute(i);
      close(this.#fds.msi[i]);
      this.#fds.msi[i] = -1;
    }
  }

  /** Closes all eventfds that there are; nothing is signalled any more. */
  closeAll(): void {
    for (const fds of [this.#fds.line, this.#fds.msi]) {
      fds.filter((fd) => fd > 0).forEach(close);
      fds.fill(-1);
    }
  }

  /** Reserves `count` MSI vectors for a device: in every worker, in the same order. */
  reserve(count: number): MsiVectors {
    const first = this.#next;
    this.#next += count;
    if (this.#next > MAX_MSI) throw new RangeError(`Cannot reserve ${count} interrupt vectors`);
    return new MsiVectors(this, first, count);
  }

  /** How many vectors have been reserved. */
  get reserved(): number {
    return this.#next;
  }

  /** An edge on an interrupt line of the IOAPIC. */
  pulse(line: number): void {
    // First: one that is signalled is always known.
    Atomics.store(this.#pulsed.line, line, 1);
    signal(this.#fds.line[line]);
  }

  /** The eventfd of vector `index`. */
  fd(index: number): number {
    return this.#fds.msi[index];
  }

  route(index: number, addressLo: number, addressHi: number, data: number): void {
    const r = this.#routes;
    r.active[index] = 1;
    r.address_lo[index] = addressLo;
    r.address_hi[index] = addressHi;
    r.data[index] = data;
    if (this.#batch !== undefined) {
      this.#batch.push(index);
      return;
    }
    this.#commit();
    this.#assign(index);
  }

  #assign(index: number): void {
    this.#vm.assignIrqfd(this.#fds.msi[index], GSI.FIRST_MSI + index);
  }

  unroute(index: number): void {
    if (this.#routes.active[index] === 0) return;
    // The irqfd first: a route must never change under an irqfd that may fire.
    this.#vm.deassignIrqfd(this.#fds.msi[index], GSI.FIRST_MSI + index);
    this.#routes.active[index] = 0;
    this.#commit();
  }

  isRouted(index: number): boolean {
    return this.#routes.active[index] === 1;
  }

  #commit(): void {
    const words = this.#words;
    const n = writeLegacyRoutes(words);
    const r = this.#routes;
    let at = entryAt(n);
    let count = n;
    for (let i = 0; i < this.#next; i++) {
      if (r.active[i] === 0) continue;
      words[at + WORD.gsi] = GSI.FIRST_MSI + i;
      words[at + WORD.type] = KVM_IRQ_ROUTING_MSI;
      words[at + WORD.address_lo] = r.address_lo[i];
      words[at + WORD.address_hi] = r.address_hi[i];
      words[at + WORD.data] = r.data[i];
      at = entryAt(++count);
    }
    words[IrqRouting.offsets.nr / 4] = count;
    this.#vm.setGsiRouting(this.#table);
  }
}

const { offsets } = IrqRoutingEntry;
/** Where an entry has its fields, in words. */
const WORD = {
  gsi: offsets.gsi / 4,
  type: offsets.type / 4,
  address_lo: offsets.address_lo / 4,
  address_hi: offsets.address_hi / 4,
  data: offsets.data / 4,
} as const;

/** Where entry `n` of a table lies, in words. */
function entryAt(n: number): number {
  return (IrqRouting.size + n * IrqRoutingEntry.size) / 4;
}

/** The routes of a PC's lines, from the table's beginning; how many those are. */
function writeLegacyRoutes(words: Uint32Array): number {
  let n = 0;
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    // The timer's interrupt 0 is on pin 2 of every PC's IOAPIC.
    if (pin !== 2) {
      writeLine(words, n++, { pin, chip: KVM_IRQCHIP_IOAPIC, to: pin === 0 ? 2 : pin });
    }
    if (pin < 8) writeLine(words, n++, { pin, chip: KVM_IRQCHIP_PIC_MASTER, to: pin });
    else if (pin < 16) writeLine(words, n++, { pin, chip: KVM_IRQCHIP_PIC_SLAVE, to: pin - 8 });
  }
  return n;
}

function writeLine(
  words: Uint32Array,
  n: number,
  { pin, chip, to }: { pin: number; chip: number; to: number },
): void {
  const at = entryAt(n);
  words[at + WORD.gsi] = pin;
  words[at + WORD.type] = KVM_IRQ_ROUTING_IRQCHIP;
  // These two words are irqchip and pin for the kernel's own chips.
  words[at + WORD.address_lo] = chip;
  words[at + WORD.address_hi] = to;
}

/** The MSI vectors of one device. */
export class MsiVectors {
  readonly #interrupts: Interrupts;
  readonly #first: number;
  readonly count: number;

  constructor(interrupts: Interrupts, first: number, count: number) {
    this.#interrupts = interrupts;
    this.#first = first;
    this.count = count;
  }

  fd(vector: number): number {
    return this.#interrupts.fd(this.#first + vector);
  }

  signal(vector: number): void {
    signal(this.fd(vector));
  }

  /** The first `count` of them, for a device that needs fewer. */
  take(count: number): MsiVectors {
    if (count > this.count) {
      throw new RangeError(`Cannot take ${count} interrupt vectors: there are ${this.count}`);
    }
    return new MsiVectors(this.#interrupts, this.#first, count);
  }

  /** For a device that comes while the guest runs: see {@linkcode Interrupts.open}. */
  open(): void {
    this.#interrupts.open(this.#first, this.count);
  }

  close(): void {
    this.#interrupts.close(this.#first, this.count);
  }

  /** Unmasks: what was signalled while there was no route is delivered. */
  route(vector: number, addressLo: number, addressHi: number, data: number): void {
    this.#interrupts.route(this.#first + vector, addressLo, addressHi, data);
  }

  unroute(vector: number): void {
    this.#interrupts.unroute(this.#first + vector);
  }

  isRouted(vector: number): boolean {
    return this.#interrupts.isRouted(this.#first + vector);
  }
}
