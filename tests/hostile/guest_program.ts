/**
 * A guest that is one straight line of accesses, written by a test before it runs: what it reads goes out
 * through its serial port, four bytes for each expectation, and is compared afterwards.
 *
 * The machine is as Linux would find it: 64-bit mode, the first GiB mapped to itself. There are no
 * interrupts and no exceptions; a guest that waits for what never comes is ended by its test.
 *
 * @module
 */
import { ACPI_PORT, S5_SLEEP_TYPE } from "../../hypervisor/machine/acpi/registers.ts";
import { ECAM, PORT } from "../../hypervisor/machine/address_map.ts";
import { BOOT } from "../../hypervisor/machine/boot/plan.ts";
import { bzImage } from "../../hypervisor/machine/testing/bzimage.ts";
import { MachineCode, type Size } from "./machine_code.ts";

/** Where things lie in RAM. */
const AT = {
  /** A page of pointers to devices' configuration spaces. */
  POINTERS: 0x100_0000,
  RECORDS: 0x101_0000,
  PAGE_TABLES: 0x102_0000,
  /** From here on, RAM is the test's. */
  FREE: 0x200_0000,
} as const;

/** A 16550's line status: something was received. */
const LSR_DATA_READY = 1;
const PAGE = 4096;
const GiB = 2 ** 30;
/** Page table entries: present and writable; and a large page. */
const ENTRY = 0x3;
const LARGE = 0x80;
/** What fits the serial port's ring, should nobody read meanwhile. */
const MAX_OUTPUT = 60_000;

/** One word that the guest sends, and what it has to be. */
export interface Expectation {
  what: string;
  wanted: number | ((value: number) => boolean);
}

export interface Case {
  name: string;
  expectations: Expectation[];
}

/** A function of the guest's PCI bus that the program found. */
export interface PciTarget {
  /** Where the address of its configuration space is kept. */
  pointer: number;
}

export class GuestProgram {
  readonly cases: Case[] = [];
  readonly code = new MachineCode();
  #free = AT.FREE;
  #pointers = 0;
  #tables = 0;
  #sent = 0;

  constructor() {
    this.code.raw(0xFC); // cld: records go upwards
    this.#rewind();
    this.mapGiB(3);
  }

  /** mov edi, the first record */
  #rewind(): void {
    this.code.raw(0xBF, ...[0, 8, 16, 24].map((shift) => AT.RECORDS >>> shift & 0xFF));
  }

  /** RAM for rings and buffers, aligned to pages. */
  allocate(bytes: number): number {
    const at = this.#free;
    this.#free += Math.ceil(bytes / PAGE) * PAGE;
    return at;
  }

  /** Maps another GiB of guest physical addresses, below 512 GiB, to itself. */
  mapGiB(number: number): void {
    const table = AT.PAGE_TABLES + PAGE * this.#tables++;
    this.code.pageTable(table, {
      first: BigInt(number * GiB) + BigInt(ENTRY | LARGE),
      step: 2 ** 21,
    });
    this.write(BOOT.PDPT + 8 * number, 8, table | ENTRY);
  }

  /** What `body` expects is one case, told of by its name. */
  case(name: string, body: () => void): void {
    this.cases.push({ name, expectations: [] });
    body();
    const count = 4 * this.cases.at(-1)!.expectations.length;
    this.#sent += count;
    if (this.#sent > MAX_OUTPUT) throw new RangeError("Cannot send that much without a reader");
    this.code.send(AT.RECORDS, count, PORT.COM1);
    this.#rewind();
  }

  /** Records the value that the last read left. */
  expect(what: string, wanted: Expectation["wanted"]): void {
    const one = this.cases.at(-1);
    if (one === undefined) throw new Error(`Cannot expect "${what}" outside of a case`);
    one.expectations.push({ what, wanted });
    this.code.raw(0xAB); // stosd
  }

  write(address: number | bigint, size: Size, value: number | bigint): void {
    this.code.value(value);
    this.code.address(address);
    this.code.store(size);
  }

  read(address: number | bigint, size: Size): void {
    this.code.address(address);
    this.code.load(size);
  }

  /** Waits until what is read under `mask` is `wanted`. */
  wait(address: number, size: Size, wanted: number, mask = 0xFFFF_FFFF): void {
    this.code.until(wanted, () => {
      this.read(address, size);
      this.code.and(mask);
    });
  }

  fill(address: number, bytes: number, word = 0): void {
    this.code.fill(address, { count: bytes / 4, word });
  }

  out(port: number, size: 1 | 2 | 4, value: number): void {
    this.code.port(port);
    this.code.value(value);
    this.code.out(size);
  }

  in(port: number, size: 1 | 2 | 4): void {
    this.code.port(port);
    this.code.in(size);
  }

  repeat(count: number, body: () => void): void {
    this.code.repeat(count, body);
  }

  /** Waits until the test types a byte. */
  waitForTest(): void {
    this.code.until(LSR_DATA_READY, () => {
      this.in(PORT.COM1 + 5, 1);
      this.code.and(LSR_DATA_READY);
    });
    this.in(PORT.COM1, 1);
  }

  /** Finds the `nth` PCI function with these identifiers, on bus 0 or another. */
  find(vendor: number, device: number, options: { nth: number; bus?: number }): PciTarget {
    const { nth, bus = 0 } = options;
    const first = ECAM.start + bus * ECAM.busLength;
    const pointer = AT.POINTERS + 16 * this.#pointers++;
    this.code.search({
      first,
      step: 0x8000,
      end: first + ECAM.busLength,
      wanted: (device << 16 | vendor) >>> 0,
      nth,
    });
    this.code.raw(0x48, 0x89, 0xD8); // mov rax, rbx
    this.code.address(pointer);
    this.code.store(8);
    return { pointer };
  }

  configWrite(target: PciTarget, register: number, size: 1 | 2 | 4, value: number): void {
    this.code.value(value);
    this.code.pointer(target.pointer, register);
    this.code.store(size);
  }

  configRead(target: PciTarget, register: number, size: 1 | 2 | 4): void {
    this.code.pointer(target.pointer, register);
    this.code.load(size);
  }

  /** A kernel file that does all this and powers off. */
  toKernel(): Uint8Array<ArrayBuffer> {
    this.out(PORT.ACPI + ACPI_PORT.SLEEP_CONTROL, 1, S5_SLEEP_TYPE << 2 | 1 << 5);
    this.code.raw(0xF4, 0xEB, 0xFD); // hlt; jmp to it
    return bzImage({ code: this.code.toBytes() });
  }
}
