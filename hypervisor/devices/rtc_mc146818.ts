/**
 * The PC's clock: an MC146818 (Motorola data sheet) that runs on the host's, in UTC. Linux waits
 * seconds for a PC that has none.
 *
 * @module
 */
import { struct } from "../sys/struct.ts";
import type { Arena } from "../machine/arena.ts";
import type { BusDevice } from "../machine/bus.ts";

const CMOS_BYTES = 128;

const RtcV1 = struct("rtc_mc146818", { index: "u8", cmos: ["u8", CMOS_BYTES] });

/** Ports, from 0x70. */
const INDEX = 0;
const DATA = 1;

/** Registers of the data sheet's address map; the century is where ACPI's FADT would say. */
const SECONDS = 0x00;
const MINUTES = 0x02;
const HOURS = 0x04;
const WEEKDAY = 0x06;
const DAY = 0x07;
const MONTH = 0x08;
const YEAR = 0x09;
const A = 0x0A;
const B = 0x0B;
const C = 0x0C;
const D = 0x0D;
const CENTURY = 0x32;

/** 32,768 Hz time base, 1,024 Hz rate. */
const A_DEFAULT = 0x26;
/** 24 hours. Bit 2, binary, stays clear: the registers are BCD. */
const B_24H = 0x02;
const B_SET = 0x80;
/** Valid RAM and time. */
const D_VRT = 0x80;

function bcd(value: number): number {
  return Math.floor(value / 10) << 4 | value % 10;
}

export class RtcMc146818 implements BusDevice {
  readonly #s;
  readonly #now: () => number;

  constructor(arena: Arena, options: { name?: string; now?: () => number } = {}) {
    this.#s = arena.place(options.name ?? "rtc", RtcV1);
    this.#now = options.now ?? Date.now;
  }

  powerOn(): void {
    this.#s.cmos.fill(0);
    this.#s.cmos[A] = A_DEFAULT;
    this.#s.cmos[B] = B_24H;
  }

  read(offset: number, _size: number): number {
    if (offset !== DATA) return 0xFF;
    const index = this.#s.index;
    const date = new Date(this.#now());
    switch (index) {
      case SECONDS:
        return bcd(date.getUTCSeconds());
      case MINUTES:
        return bcd(date.getUTCMinutes());
      case HOURS:
        return bcd(date.getUTCHours());
      case WEEKDAY:
        return date.getUTCDay() + 1;
      case DAY:
        return bcd(date.getUTCDate());
      case MONTH:
        return bcd(date.getUTCMonth() + 1);
      case YEAR:
        return bcd(date.getUTCFullYear() % 100);
      case CENTURY:
        return bcd(Math.floor(date.getUTCFullYear() / 100));
      case C:
        // No interrupts are raised, so none is pending.
        return 0;
      case D:
        return D_VRT;
    }
    return this.#s.cmos[index];
  }

  write(offset: number, _size: number, value: number): void {
    if (offset === INDEX) {
      this.#s.index = value & (CMOS_BYTES - 1);
      return;
    }
    const index = this.#s.index;
    // The time is the host's: a guest that sets it changes nothing, as kvmclock is what it runs on.
    if (index === B) value = value & ~0x04 | B_24H;
    if (index === A) value &= 0x7F;
    if (index !== C && index !== D) {
      this.#s.cmos[index] = value & (index === B ? 0xFF & ~B_SET : 0xFF);
    }
  }
}
