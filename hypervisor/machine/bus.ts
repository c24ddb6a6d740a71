/**
 * A bus: which device answers at which address. There is one for memory and one for I/O ports.
 *
 * @module
 */

/** Something with registers. Offsets are from the start of its range; sizes are 1, 2 or 4 bytes. */
export interface BusDevice {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

interface Range {
  start: number;
  end: number;
  device: BusDevice;
}

export class Bus {
  #ranges: Range[] = [];
  // Guests access one device many times in a row.
  #last: Range = { start: 0, end: 0, device: { read: () => 0, write: () => {} } };

  /** Puts `device` at `[start, start + length)`; overlapping another is an error. */
  attach(start: number, length: number, device: BusDevice): void {
    const end = start + length;
    const other = this.#ranges.find((r) => start < r.end && r.start < end);
    if (other !== undefined) {
      throw new RangeError(
        `Cannot attach a device at 0x${start.toString(16)}: it overlaps another at 0x${
          other.start.toString(16)
        }`,
      );
    }
    this.#ranges.push({ start, end, device });
    this.#ranges.sort((a, b) => a.start - b.start);
  }

  #find(address: number): Range | undefined {
    const last = this.#last;
    if (address >= last.start && address < last.end) return last;
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle];
      if (address < range.start) high = middle - 1;
      else if (address >= range.end) low = middle + 1;
      else return this.#last = range;
    }
  }

  /** Reads `size` bytes (1, 2 or 4); all ones where nothing answers, as on a real bus. */
  read(address: number, size: number): number {
    const range = this.#find(address);
    if (range === undefined || address + size > range.end) return 0xFFFF_FFFF;
    return range.device.read(address - range.start, size);
  }

  /** Writes `size` bytes (1, 2 or 4); dropped where nothing answers. */
  write(address: number, size: number, value: number): void {
    const range = this.#find(address);
    if (range === undefined || address + size > range.end) return;
    range.device.write(address - range.start, size, value);
  }
}
