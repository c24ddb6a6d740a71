/**
 * What a guest can do wrong with a disk's requests (virtio 1.2, section 5.2.6).
 *
 * @module
 */
import { VIRTIO_BLK_S, VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { type BlockDriver, SECTORS } from "./block_driver.ts";
import { type Descriptor, F_WRITE } from "./guest_driver.ts";

const { IN, OUT, FLUSH, GET_ID } = VIRTIO_BLK_T;
const { IOERR, OK, UNSUPP } = VIRTIO_BLK_S;

/** The test takes the file's end away after this case. */
export const BEFORE_SHRINKING = "the file is whole";

export function blockCases(disk: BlockDriver, bystander: BlockDriver): void {
  const { program, virtio } = disk;
  bystander.virtio.start();
  virtio.start();

  const answers = (name: string, status: number, body: () => void) =>
    program.case(name, () => {
      body();
      disk.expectStatus(status);
      disk.readsSector(9);
    });
  const refuses = (name: string, type: number, sector: number | bigint, more: Descriptor[]) =>
    answers(`${name} fails with IOERR`, IOERR, () => {
      disk.request(type, sector);
      const status = { address: disk.status, length: 1, flags: F_WRITE };
      const writable = more.some(({ flags = 0 }) => flags === F_WRITE);
      virtio.roundTrip(
        [{ address: disk.header, length: 16 }, ...more, status],
        writable ? 0 : 1,
      );
    });
  const into = (length: number) => ({ address: disk.data, length, flags: F_WRITE });
  const from = (length: number) => ({ address: disk.data, length });

  refuses("a read past the end", IN, SECTORS, [into(512)]);
  refuses("a read whose sum is past the end", IN, SECTORS - 1, [into(512), into(512)]);
  refuses("a write whose sum is past the end", OUT, SECTORS - 1, [from(512), from(512)]);
  refuses("a read at the last sector there can be", IN, 2n ** 64n - 1n, [into(512)]);
  refuses("a read whose end wraps to 0", IN, 2n ** 64n - 8n, [into(4096)]);
  refuses("a write at byte 2^64 over 512", OUT, 2n ** 55n, [from(512)]);
  refuses("a read of half a sector", IN, 0, [into(256)]);
  refuses("a write of a sector and a byte", OUT, 0, [from(513)]);
  refuses(
    "a read of overlapping buffers, longer than the disk",
    IN,
    0,
    Array.from({ length: 40 }, () => into(0x8000)),
  );
  answers("a request of an unknown type is unsupported", UNSUPP, () => {
    disk.request(0x7FFF_FFFF, 0);
    virtio.roundTrip(disk.readChain(512), 0);
  });
  answers("a header of 15 bytes fails with IOERR", IOERR, () => {
    disk.request(IN, 0);
    virtio.roundTrip([
      { address: disk.header, length: 15 },
      { address: disk.status, length: 1, flags: F_WRITE },
    ], 1);
  });
  answers("a header in sixteen pieces is read as one", OK, () => {
    disk.request(IN, 2);
    virtio.roundTrip([
      ...Array.from({ length: 16 }, (_, i) => ({ address: disk.header + i, length: 1 })),
      into(512),
      { address: disk.status, length: 1, flags: F_WRITE },
    ], 513);
  });
  program.case("chains without a place for the status go back unserved", () => {
    disk.request(OUT, 3);
    virtio.roundTrip([{ address: disk.header, length: 16 }], 0);
    virtio.roundTrip([{ address: disk.header, length: 16 }, from(512)], 0);
    virtio.roundTrip([{ address: disk.header, length: 0 }], 0);
    disk.readsSector(3);
  });
  answers("an identity in no room is cut short", OK, () => {
    disk.request(GET_ID, 0);
    virtio.roundTrip([
      { address: disk.header, length: 16 },
      { address: disk.status, length: 1, flags: F_WRITE },
    ], 1);
  });
  answers("a flush with data is a flush", OK, () => {
    disk.request(FLUSH, 2n ** 64n - 1n);
    virtio.roundTrip([{ address: disk.header, length: 16 }, from(4096), {
      address: disk.status,
      length: 1,
      flags: F_WRITE,
    }], 1);
  });
  program.case("what was refused has written nothing", () => {
    for (const sector of [0, 1, SECTORS - 1]) disk.readsSector(sector);
    bystander.readsSector(1);
  });
  program.case("the queue's index wraps", () => {
    // 65536 requests take a while; their kinds do not matter, so a kick serves 64.
    virtio.start();
    disk.request(GET_ID, 0);
    for (let i = 0; i < 64; i++) {
      virtio.describe(i, { address: disk.header, length: 16 });
    }
    const { avail, used } = virtio.rings();
    for (let i = 0; i < 64; i++) program.write(avail + 4 + 2 * i, 2, i);
    program.repeat(1030, () => {
      // avail.idx += 64: add word [rbx], 64
      program.code.address(avail + 2);
      program.code.raw(0x66, 0x83, 0x03, 64);
      virtio.kick();
      // Until used.idx is avail.idx: mov ax, [avail.idx]; sub ax, [used.idx]
      program.code.until(0, () => {
        program.code.address(used + 2);
        program.code.load(2);
        program.code.raw(0x89, 0xC1); // mov ecx, eax
        program.code.address(avail + 2);
        program.code.load(2);
        program.code.raw(0x29, 0xC8); // sub eax, ecx
      });
    });
    program.read(used + 2, 2);
    program.expect("used index", 1030 * 64 & 0xFFFF);
    disk.recovers();
  });
  program.case(BEFORE_SHRINKING, () => disk.readsSector(SECTORS - 1));
  program.waitForTest();
  answers("a read of what a shrunken file has lost fails with IOERR", IOERR, () => {
    disk.request(IN, SECTORS - 1);
    virtio.roundTrip(disk.readChain(512), 0);
  });
}
