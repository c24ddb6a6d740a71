/**
 * MSI-X (PCI Local Bus 3.0, section 6.8.2): a table of messages, each with a mask of its own.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import type { Arena } from "../arena.ts";
import type { MsiVectors } from "../interrupts.ts";
import { isSignalled } from "../../sys/eventfd.ts";
import type { PciFunction } from "./function.ts";

const PCI_CAP_ID_MSIX = 0x11;
const CONTROL = 2;
const CONTROL_ENABLE = 1 << 15;
const CONTROL_FUNCTION_MASK = 1 << 14;
const ENTRY_BYTES = 16;
const VECTOR_MASKED = 1;

function layout(vectors: number) {
  return struct("msix", { table: ["u32", vectors * 4] });
}

export class Msix {
  readonly #state;
  readonly #vectors: MsiVectors;
  readonly #function: PciFunction;
  readonly #capability: number;

  /** Adds the capability to `fn`; table and pending bits lie in BAR 0 at the given offsets. */
  constructor(
    arena: Arena,
    name: string,
    options: {
      function: PciFunction;
      vectors: MsiVectors;
      tableOffset: number;
      pendingOffset: number;
    },
  ) {
    this.#state = arena.place(`${name}.msix`, layout(options.vectors.count));
    this.#vectors = options.vectors;
    this.#function = options.function;
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, PCI_CAP_ID_MSIX);
    view.setUint16(CONTROL, this.#vectors.count - 1, true);
    view.setUint32(4, options.tableOffset, true);
    view.setUint32(8, options.pendingOffset, true);
    const writable = new Uint8Array(12);
    writable[CONTROL + 1] = (CONTROL_ENABLE | CONTROL_FUNCTION_MASK) >> 8;
    this.#capability = this.#function.addCapability(bytes, {
      writable,
      hook: {
        written: () => this.#applyAll(),
        poweredOff: () => this.#applyAll(),
        restored: () => this.#applyAll(),
      },
    });
  }

  powerOn(): void {
    for (let i = 0; i < this.#vectors.count; i++) this.#state.table[i * 4 + 3] = VECTOR_MASKED;
  }

  get tableBytes(): number {
    return this.#vectors.count * ENTRY_BYTES;
  }

  /** A read of the table, at any offset; 0 where there is no entry. */
  readTable(offset: number, size: number): number {
    const word = this.#state.table[offset >> 2] ?? 0;
    const shifted = word >>> (8 * (offset & 3));
    return size === 4 ? shifted : shifted & (2 ** (8 * size) - 1);
  }

  /** A write to the table; only aligned words are defined, others are dropped. */
  writeTable(offset: number, size: number, value: number): void {
    if (size !== 4 || (offset & 3) !== 0 || offset >= this.tableBytes) return;
    this.#state.table[offset >> 2] = value;
    this.#apply(Math.floor(offset / ENTRY_BYTES), true);
  }

  /** A read of the pending bits: what was signalled while masked. */
  readPending(offset: number, size: number): number {
    let value = 0;
    for (let bit = 0; bit < size * 8; bit++) {
      const vector = offset * 8 + bit;
      if (vector >= this.#vectors.count) break;
      if (!this.#vectors.isRouted(vector) && isSignalled(this.#vectors.fd(vector))) {
        value += 2 ** bit;
      }
    }
    return value;
  }

  /** Raises `vector`'s message, or makes it pending while it is masked. */
  signal(vector: number): void {
    if (vector < this.#vectors.count) this.#vectors.signal(vector);
  }

  /** The eventfd that raises `vector`; -1 where there is no such vector. */
  fd(vector: number): number {
    return vector < this.#vectors.count ? this.#vectors.fd(vector) : -1;
  }

  #applyAll(): void {
    for (let i = 0; i < this.#vectors.count; i++) this.#apply(i, false);
  }

  #apply(vector: number, changed: boolean): void {
    const control = this.#function.config.getUint16(this.#capability + CONTROL, true);
    const table = this.#state.table;
    const at = vector * 4;
    const on = (control & CONTROL_ENABLE) !== 0 && (control & CONTROL_FUNCTION_MASK) === 0 &&
      (table[at + 3] & VECTOR_MASKED) === 0;
    const routed = this.#vectors.isRouted(vector);
    if (routed && (!on || changed)) this.#vectors.unroute(vector);
    if (on && (!routed || changed)) {
      this.#vectors.route(vector, table[at], table[at + 1], table[at + 2]);
    }
  }
}
