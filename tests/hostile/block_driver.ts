/**
 * A guest's driver of a disk whose content is known.
 *
 * @module
 */
import { VIRTIO_BLK_S, VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import { type Descriptor, F_WRITE, GuestDriver, type GuestDriverOptions } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";

export const SECTORS = 128;
export const SECTOR_BYTES = 512;
/** What a status byte holds before the device writes it. */
const NO_STATUS = 0xEE;
const DATA_BYTES = 0x10000;

/** The words of a disk. */
export function diskWord(index: number): number {
  return Math.imul(index, 0x9E37_79B1) >>> 0;
}

export function diskImage(): Uint8Array<ArrayBuffer> {
  const words = Uint32Array.from({ length: SECTORS * SECTOR_BYTES / 4 }, (_, i) => diskWord(i));
  return new Uint8Array(words.buffer);
}

export class BlockDriver {
  readonly virtio: GuestDriver;
  readonly program: GuestProgram;
  readonly header: number;
  readonly status: number;
  readonly data: number;

  constructor(program: GuestProgram, options: GuestDriverOptions) {
    this.program = program;
    this.virtio = new GuestDriver(program, VIRTIO_ID.block, options);
    this.header = program.allocate(16);
    this.status = program.allocate(1);
    this.data = program.allocate(DATA_BYTES);
  }

  /** Writes a request's header, and takes back what an earlier request answered. */
  request(type: number, sector: number | bigint): void {
    this.program.write(this.header, 4, type);
    this.program.write(this.header + 4, 4, 0);
    this.program.write(this.header + 8, 8, sector);
    this.program.write(this.status, 1, NO_STATUS);
  }

  /** Header, data and status byte, as the driver of a read lays them out. */
  readChain(bytes: number): Descriptor[] {
    return [
      { address: this.header, length: 16 },
      { address: this.data, length: bytes, flags: F_WRITE },
      { address: this.status, length: 1, flags: F_WRITE },
    ];
  }

  expectStatus(wanted: number): void {
    this.program.read(this.status, 1);
    this.program.expect("request's status", wanted);
  }

  /** Reads a sector, and expects what is in it. */
  readsSector(sector: number): void {
    this.request(VIRTIO_BLK_T.IN, sector);
    this.program.fill(this.data, SECTOR_BYTES);
    this.virtio.roundTrip(this.readChain(SECTOR_BYTES), SECTOR_BYTES + 1);
    this.expectStatus(VIRTIO_BLK_S.OK);
    for (const word of [0, 127]) {
      this.program.read(this.data + 4 * word, 4);
      this.program.expect(`word ${word} of sector ${sector}`, diskWord(sector * 128 + word));
    }
  }

  /** From reset to a request that is answered: what a device that was violated must be able to. */
  recovers(): void {
    this.virtio.start();
    this.readsSector(7);
  }
}
