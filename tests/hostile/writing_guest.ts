/**
 * A guest that writes to its disk, zeroes parts of it and discards others, for as long as nobody types.
 *
 * @module
 */
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { PORT } from "../../hypervisor/machine/address_map.ts";
import { type BlockDriver, SECTOR_BYTES } from "./block_driver.ts";
import { F_NEXT, F_WRITE } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";

/** A power of two. */
export const WRITTEN_SECTORS = 32_768;
const ZEROED_SECTORS = 8;
const LSR_DATA_READY = 1;

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xFF);

/** Makes requests to a disk of {@linkcode WRITTEN_SECTORS}, one after the other, until a byte is typed. */
export function writes(disk: BlockDriver): void {
  const { program, virtio } = disk;
  const range = program.allocate(64);
  const { desc, avail, used } = virtio.rings();
  virtio.start();
  program.case("its disk is there", () => {
    program.in(PORT.COM1 + 5, 1);
    program.expect("it runs", () => true);
  });
  // Heads 0 and 3 in turn: a write, and a range that is discarded or zeroed.
  for (let i = 1; i < 64; i += 2) program.write(avail + 4 + 2 * i, 2, 3);
  const chains = [
    [disk.header, 16, disk.data, SECTOR_BYTES, disk.status],
    [range, 16, range + 16, 16, range + 32],
  ];
  chains.forEach(([header, headerBytes, data, dataBytes, status], i) => {
    const at = 3 * i;
    virtio.describe(
      at,
      { address: header, length: headerBytes, flags: F_NEXT, next: at + 1 },
      desc,
    );
    virtio.describe(
      at + 1,
      { address: data, length: dataBytes, flags: F_NEXT, next: at + 2 },
      desc,
    );
    virtio.describe(at + 2, { address: status, length: 1, flags: F_WRITE }, desc);
  });
  program.write(disk.header, 4, VIRTIO_BLK_T.OUT);
  program.write(disk.header + 4, 4, 0);
  program.write(disk.header + 8, 8, 0);
  program.fill(range, 64);
  program.write(range + 24, 4, ZEROED_SECTORS);
  const { code } = program;
  code.raw(0x45, 0x31, 0xF6); // xor r14d, r14d
  code.until(LSR_DATA_READY, () => {
    code.raw(0x41, 0xFF, 0xC6); // inc r14d
    place(program, disk.header + 8, { step: 37, mask: WRITTEN_SECTORS - 1 });
    code.raw(0x44, 0x89, 0xF0); // mov eax, r14d
    code.address(disk.data);
    code.store(4);
    request(disk, { avail, used });
    // DISCARD and WRITE_ZEROES with UNMAP in turn: their numbers differ by two, their flags by one.
    code.raw(0x44, 0x89, 0xF0); // mov eax, r14d
    code.and(1);
    code.address(range + 28);
    code.store(4);
    code.raw(0x01, 0xC0, 0x83, 0xC0, VIRTIO_BLK_T.DISCARD); // add eax, eax; add eax, DISCARD
    code.address(range);
    code.store(4);
    place(program, range + 16, { step: 4099, mask: WRITTEN_SECTORS - ZEROED_SECTORS });
    request(disk, { avail, used });
    program.in(PORT.COM1 + 5, 1);
    code.and(LSR_DATA_READY);
  });
  program.in(PORT.COM1, 1);
  program.case("it wrote to its disk", () => {
    code.raw(0x44, 0x89, 0xF0); // mov eax, r14d
    program.expect("how often", (value) => value > 0);
    for (const at of [disk.status, range + 32]) {
      program.read(at, 1);
      program.expect("the last status", 0);
    }
  });
}

/** Writes a sector's number that depends on how often it went round. */
function place(program: GuestProgram, at: number, where: { step: number; mask: number }): void {
  program.code.raw(0x41, 0x69, 0xC6, ...u32(where.step)); // imul eax, r14d, step
  program.code.and(where.mask);
  program.code.address(at);
  program.code.store(4);
}

/** Offers what the ring has next, and waits until it comes back. */
function request(disk: BlockDriver, { avail, used }: { avail: number; used: number }): void {
  const { program: { code }, virtio } = disk;
  code.address(avail + 2);
  code.raw(0x66, 0xFF, 0x03); // inc word [rbx]
  virtio.kick();
  code.until(0, () => {
    code.address(used + 2);
    code.load(2);
    code.raw(0x89, 0xC1); // mov ecx, eax
    code.address(avail + 2);
    code.load(2);
    code.raw(0x29, 0xC8); // sub eax, ecx
  });
}
