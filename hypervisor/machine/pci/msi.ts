/**
 * MSI (PCI Local Bus 3.0, section 6.8.1): one message with a 64-bit address and no mask. For a
 * function without a BAR, which therefore has no place for an MSI-X table.
 *
 * @module
 */
import type { MsiVectors } from "../interrupts.ts";
import type { PciFunction } from "./function.ts";

const PCI_CAP_ID_MSI = 0x05;
/** Offsets in the capability. */
const MSI = { CONTROL: 2, ADDRESS_LO: 4, ADDRESS_HI: 8, DATA: 12, LENGTH: 14 } as const;
const CONTROL_ENABLE = 1 << 0;
const CONTROL_64_BIT = 1 << 7;

export class Msi {
  readonly #function: PciFunction;
  readonly #vectors: MsiVectors;
  readonly #capability: number;

  /** Adds the capability to `fn`; the first of `vectors` is its message. */
  constructor(fn: PciFunction, vectors: MsiVectors) {
    this.#function = fn;
    this.#vectors = vectors;
    const bytes = new Uint8Array(MSI.LENGTH);
    bytes[0] = PCI_CAP_ID_MSI;
    bytes[MSI.CONTROL] = CONTROL_64_BIT;
    const writable = new Uint8Array(MSI.LENGTH);
    writable[MSI.CONTROL] = CONTROL_ENABLE;
    writable.fill(0xFF, MSI.ADDRESS_LO);
    writable[MSI.ADDRESS_LO] = 0xFC;
    this.#capability = fn.addCapability(bytes, {
      writable,
      hook: {
        written: () => this.#apply(),
        poweredOff: () => this.#apply(),
        restored: () => this.#apply(),
      },
    });
  }

  get #enabled(): boolean {
    return (this.#function.config.getUint16(this.#capability + MSI.CONTROL, true) &
      CONTROL_ENABLE) !== 0;
  }

  /** Sends the message; nobody hears of it while the guest has it disabled. */
  signal(): void {
    if (this.#enabled) this.#vectors.signal(0);
  }

  #apply(): void {
    const config = this.#function.config;
    const at = this.#capability;
    this.#vectors.unroute(0);
    if (!this.#enabled) return;
    this.#vectors.route(
      0,
      config.getUint32(at + MSI.ADDRESS_LO, true),
      config.getUint32(at + MSI.ADDRESS_HI, true),
      config.getUint16(at + MSI.DATA, true),
    );
  }
}
