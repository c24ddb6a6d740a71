/**
 * A second vCPU rewrites what a device is reading: a request's header, a descriptor, a ring.
 *
 * @module
 */
import { LAPIC } from "../../hypervisor/machine/address_map.ts";
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { type BlockDriver, SECTOR_BYTES } from "./block_driver.ts";
import { F_WRITE } from "./guest_driver.ts";
import type { GuestProgram } from "./guest_program.ts";

/** Where the second vCPU starts, in real mode, and what it writes to; both below 1 MiB. */
const CODE = 0x1_0000;
const SHARED = 0x1_1000;
const STOP = SHARED + 0x800;
/** The interrupt command register (APM volume 2, section 16.5): INIT and start-up, to all but oneself. */
const ICR = LAPIC.start + 0x300;
const INIT_OTHERS = 0x000C_4500;
const STARTUP_OTHERS = 0x000C_4600;
const ROUNDS = 300;

/** Lets vCPU 1 flip the bits of `masks` in the bytes at SHARED for as long as the byte at STOP is 0. */
export function startSecondCpu(
  program: GuestProgram,
  masks: readonly [offset: number, mask: number][],
): void {
  const code = [0xB8, SHARED >> 4 & 0xFF, SHARED >> 12, 0x8E, 0xD8]; // mov ax, SHARED / 16; mov ds, ax
  const loop = code.length;
  // xor byte [offset], mask
  for (const [offset, mask] of masks) code.push(0x80, 0x36, offset & 0xFF, offset >> 8, mask);
  code.push(0x80, 0x3E, 0x00, 0x08, 0x00); // cmp byte [0x800], 0
  code.push(0x74, loop - (code.length + 2) & 0xFF); // je loop
  code.push(0xC6, 0x06, 0x00, 0x08, 0x02, 0xF4); // mov byte [0x800], 2; hlt
  code.forEach((byte, i) => program.write(CODE + i, 1, byte));
  program.write(STOP, 1, 0);
  for (const command of [INIT_OTHERS, STARTUP_OTHERS, STARTUP_OTHERS]) {
    program.write(ICR, 4, command | (command === INIT_OTHERS ? 0 : CODE >> 12));
    program.repeat(10_000, () => program.code.raw(0xF3, 0x90));
  }
}

export function stopSecondCpu(program: GuestProgram): void {
  program.write(STOP, 1, 1);
  program.wait(STOP, 1, 2);
}

export function raceCases(disk: BlockDriver, bystander: BlockDriver): void {
  const { program, virtio } = disk;
  bystander.virtio.start();
  virtio.start();

  program.case("the second vCPU runs", () => {
    startSecondCpu(program, [[0, 1]]);
    stopSecondCpu(program);
    program.read(STOP, 1);
    program.expect("its mark", 2);
  });

  program.case("a header that changes while it is read makes one request or the other", () => {
    program.write(SHARED, 4, VIRTIO_BLK_T.IN);
    program.write(SHARED + 4, 4, 0);
    program.write(SHARED + 8, 8, 1);
    // Reading becomes writing, and the sector one far away.
    startSecondCpu(program, [[0, 1], [8, 0x80], [12, 0xFF]]);
    virtio.chain([{ address: SHARED, length: 16 }, {
      address: disk.data,
      length: SECTOR_BYTES,
      flags: F_WRITE,
    }, { address: disk.status, length: 1, flags: F_WRITE }]);
    serve(disk);
    stopSecondCpu(program);
    disk.recovers();
    bystander.readsSector(1);
  });

  program.case("descriptors that change while they are read are in RAM or refused", () => {
    program.write(SHARED, 4, VIRTIO_BLK_T.IN);
    program.write(SHARED + 8, 8, 1);
    // The table lies where the other vCPU writes: addresses, lengths, flags and nexts.
    const desc = SHARED + 0x100;
    const flips = [[3, 0xF8], [4, 0xFF], [8, 0x02], [11, 0xFF], [12, 0x07], [14, 0x7F]];
    startSecondCpu(
      program,
      [16, 32].flatMap((at) =>
        flips.map(([offset, mask]): [number, number] => [0x100 + at + offset, mask])
      ),
    );
    virtio.start({ queues: { 0: { desc } } });
    virtio.describe(0, { address: SHARED, length: 16, flags: 1, next: 1 }, desc);
    virtio.describe(1, { address: disk.data, length: 512, flags: 3, next: 2 }, desc);
    virtio.describe(2, { address: disk.status, length: 1, flags: F_WRITE }, desc);
    serve(disk);
    stopSecondCpu(program);
    bystander.readsSector(2);
    disk.recovers();
  });

  program.case("nothing of it has written to the disk", () => {
    for (const sector of [0, 1, 2, 127]) disk.readsSector(sector);
  });
}

/** Offers head 0 again and again, each time as soon as it came back. */
function serve(disk: BlockDriver): void {
  const { program, virtio } = disk;
  const { avail, used } = virtio.rings();
  program.fill(used, 4);
  program.repeat(ROUNDS, () => {
    program.code.address(avail + 2);
    program.code.raw(0x66, 0xFF, 0x03); // inc word [rbx]
    virtio.kick();
    program.code.until(0, () => {
      program.code.address(used + 2);
      program.code.load(2);
      program.code.raw(0x89, 0xC1); // mov ecx, eax
      program.code.address(avail + 2);
      program.code.load(2);
      program.code.raw(0x29, 0xC8); // sub eax, ecx
    });
  });
}
