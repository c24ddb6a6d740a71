/**
 * What a guest can do wrong with the queues of any device, shown on a disk.
 *
 * @module
 */
import { COMMON } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { VIRTIO_BLK_S, VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { type BlockDriver, SECTOR_BYTES } from "./block_driver.ts";
import { F_INDIRECT, F_NEXT, F_WRITE, type QueueChoice } from "./guest_driver.ts";

/** VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX */
const INDIRECT = 1 << 28;
const EVENT_IDX = 1 << 29;
/** Not RAM: between a guest of 128 MiB and the devices. */
const NOWHERE = 0xA000_0000;

/** `bystander` is another disk of the same guest, which has to notice nothing of each case. */
export function queueCases(disk: BlockDriver, bystander: BlockDriver): void {
  const { program, virtio } = disk;
  const { desc, avail, used } = virtio.rings();
  const table = program.allocate(0x8000);
  bystander.virtio.start();

  const violates = (name: string, body: () => void) =>
    program.case(name, () => {
      body();
      virtio.expectNeedsReset();
      bystander.readsSector(5);
      disk.recovers();
    });
  const survives = (name: string, body: () => void) =>
    program.case(name, () => {
      virtio.start({ features: INDIRECT });
      body();
      disk.readsSector(3);
      bystander.readsSector(5);
    });
  const refusesQueue = (name: string, choice: QueueChoice) =>
    violates(`a queue ${name} is refused`, () => virtio.start({ queues: { 0: choice } }));

  program.case("a disk works", () => {
    disk.recovers();
    bystander.readsSector(5);
  });

  survives("queue registers rewritten after DRIVER_OK stay as they were", () => {
    virtio.write(COMMON.QUEUE_SELECT, 0);
    virtio.write(COMMON.QUEUE_SIZE, 8);
    for (const register of [COMMON.QUEUE_DESC, COMMON.QUEUE_DRIVER, COMMON.QUEUE_DEVICE]) {
      virtio.write(register, NOWHERE);
      virtio.write(register + 4, 0xFFFF_FFFF);
    }
    virtio.write(COMMON.QUEUE_ENABLE, 0);
    virtio.write(COMMON.QUEUE_MSIX_VECTOR, 0);
    virtio.write(COMMON.DRIVER_FEATURE, 0xFFFF_FFFF);
    virtio.expect("QUEUE_SIZE", 64);
    virtio.expect("QUEUE_ENABLE", 1);
    virtio.expect("QUEUE_DESC", desc);
    virtio.expect("QUEUE_DRIVER", avail);
    virtio.expect("QUEUE_DEVICE", used);
    virtio.expect("QUEUE_MSIX_VECTOR", 0xFFFF);
    virtio.expect("DEVICE_STATUS", 0xF);
  });

  for (const size of [0, 3, 63, 512, 0x8000, 0xFFFF]) refusesQueue(`of ${size} entries`, { size });
  refusesQueue("with a misaligned descriptor table", { desc: desc + 8 });
  refusesQueue("with a misaligned available ring", { avail: avail + 1 });
  refusesQueue("with a misaligned used ring", { used: used + 2 });
  refusesQueue("with its descriptors where nothing is", { desc: NOWHERE });
  refusesQueue("with its available ring across the end of RAM", { avail: 2 ** 27 - 64 });
  refusesQueue("with its used ring in a device's registers", { used: virtio.bar });
  refusesQueue("whose address wraps", { desc: 2n ** 64n - 16n });
  refusesQueue("above what a number holds", { used: 2n ** 63n });
  refusesQueue("that is not enabled", { enable: false });

  for (const select of [16, 64, 0x7FFF, 0xFFFF]) {
    survives(`queue ${select} is not there`, () => {
      virtio.write(COMMON.QUEUE_SELECT, select);
      virtio.expect("QUEUE_SELECT", select);
      for (
        const register of ["QUEUE_SIZE", "QUEUE_ENABLE", "QUEUE_DESC", "QUEUE_DEVICE"] as const
      ) {
        virtio.write(COMMON[register], 0xFFFF);
        virtio.expect(register, 0);
      }
      virtio.write(BAR.NOTIFY + select * BAR.NOTIFY_MULTIPLIER % 0x2000, select, 2);
    });
  }

  violates("an available index that is further ahead than the queue is long", () => {
    virtio.start();
    virtio.setAvailIndex(65);
    virtio.kick();
  });
  violates("a head outside the descriptor table", () => {
    virtio.start();
    virtio.offer([64]);
    virtio.kick();
  });
  violates("the same head twice in flight", () => {
    virtio.start();
    disk.request(VIRTIO_BLK_T.IN, 1);
    virtio.chain(disk.readChain(SECTOR_BYTES));
    virtio.offer([0, 0]);
    virtio.kick();
  });

  const malformed = (
    name: string,
    first: { flags: number; length: number; next?: number },
    at = table,
  ) =>
    survives(`${name} goes back unserved`, () => {
      disk.request(VIRTIO_BLK_T.IN, 1);
      virtio.describe(0, { address: at, ...first });
      virtio.offer([0]);
      virtio.kick();
      virtio.expectUsed(0, 0);
      program.read(disk.status, 1);
      program.expect("status byte", 0xEE);
    });
  malformed("a descriptor that is its own next", { flags: F_NEXT, length: 16, next: 0 });
  malformed("a next outside the table", { flags: F_NEXT, length: 16, next: 64 });
  malformed("a next far outside the table", { flags: F_NEXT, length: 16, next: 0xFFFF });
  malformed("a buffer that is not RAM", { flags: F_WRITE, length: 16 }, NOWHERE);
  malformed("a buffer across the end of RAM", { flags: F_WRITE, length: 0x2000 }, 2 ** 27 - 0x1000);
  malformed("a buffer of 4 GiB", { flags: 0, length: 0xFFFF_FFFF });
  malformed("an indirect table of 24 bytes", { flags: F_INDIRECT, length: 24 });
  malformed("an empty indirect table", { flags: F_INDIRECT, length: 0 });
  malformed("an indirect table of 4 GiB", { flags: F_INDIRECT, length: 0xFFFF_FFF0 });
  malformed("an indirect table that is not RAM", { flags: F_INDIRECT, length: 32 }, NOWHERE);
  malformed("an indirect table with a next", { flags: F_INDIRECT | F_NEXT, length: 32, next: 1 });

  survives("an indirect table inside an indirect table goes back unserved", () => {
    virtio.describe(0, { address: table, length: 16, flags: F_INDIRECT });
    virtio.describe(0, { address: table, length: 16, flags: F_INDIRECT }, table);
    virtio.offer([0]);
    virtio.kick();
    virtio.expectUsed(0, 0);
  });
  survives("a loop inside an indirect table goes back unserved", () => {
    virtio.describe(0, { address: table, length: 16 * 1024, flags: F_INDIRECT });
    virtio.describe(0, { address: disk.header, length: 16, flags: F_NEXT, next: 1 }, table);
    virtio.describe(1, { address: disk.data, length: 1, flags: F_NEXT | F_WRITE, next: 1 }, table);
    virtio.offer([0]);
    virtio.kick();
    virtio.expectUsed(0, 0);
  });
  program.case("an indirect table that was not negotiated goes back unserved", () => {
    virtio.start();
    virtio.describe(0, { address: table, length: 16, flags: F_INDIRECT });
    virtio.offer([0]);
    virtio.kick();
    virtio.expectUsed(0, 0);
    disk.readsSector(3);
  });
  survives("what the device writes before what it reads goes back unserved", () => {
    virtio.roundTrip([
      { address: disk.data, length: 512, flags: F_WRITE },
      { address: disk.header, length: 16 },
      { address: disk.status, length: 1, flags: F_WRITE },
    ], 0);
  });
  survives("a chain of 64 GiB out of overlapping buffers goes back unserved", () => {
    virtio.roundTrip([
      { address: disk.header, length: 16 },
      ...Array.from({ length: 62 }, () => ({ address: 0, length: 2 ** 27, flags: F_WRITE })),
      { address: disk.status, length: 1, flags: F_WRITE },
    ], 0);
  });
  survives("data that overlaps its own header and status is served", () => {
    disk.request(VIRTIO_BLK_T.IN, 1);
    virtio.roundTrip([
      { address: disk.header, length: 16 },
      { address: disk.header, length: SECTOR_BYTES, flags: F_WRITE },
      { address: disk.header, length: 1, flags: F_WRITE },
    ], SECTOR_BYTES + 1);
    program.read(disk.header, 1);
    program.expect("status", VIRTIO_BLK_S.OK);
  });

  program.case("rings that lie over each other hurt only their device", () => {
    for (const features of [0, EVENT_IDX]) {
      virtio.start({ features, queues: { 0: { avail: desc, used: desc } } });
      for (let i = 0; i < 8; i++) {
        virtio.describe(i, { address: desc, length: 0x400, flags: F_WRITE | F_NEXT, next: i + 1 });
        virtio.offer([i]);
        virtio.kick();
      }
      bystander.readsSector(5);
      disk.recovers();
    }
  });
  program.case("a disk that is told to write into its own rings hurts only itself", () => {
    virtio.start();
    disk.request(VIRTIO_BLK_T.IN, 0);
    virtio.chain([
      { address: disk.header, length: 16 },
      { address: desc, length: 0x3000, flags: F_WRITE },
      { address: used, length: 0x400, flags: F_WRITE },
      { address: disk.status, length: 1, flags: F_WRITE },
    ]);
    for (let i = 0; i < 4; i++) {
      virtio.offer([0]);
      virtio.kick();
    }
    bystander.readsSector(5);
    disk.recovers();
  });
  survives("a thousand notifications of nothing", () => {
    program.repeat(1000, () => virtio.kick());
  });
  program.case("a hundred violations and resets", () => {
    program.repeat(100, () => {
      virtio.reset();
      for (const status of [0x1, 0x3]) virtio.write(COMMON.DEVICE_STATUS, status);
      virtio.write(COMMON.DRIVER_FEATURE_SELECT, 1);
      virtio.write(COMMON.DRIVER_FEATURE, 1);
      for (const status of [0xB, 0xF]) virtio.write(COMMON.DEVICE_STATUS, status);
      program.wait(virtio.bar + COMMON.DEVICE_STATUS, 1, 0x40, 0x40);
    });
    bystander.readsSector(5);
    disk.recovers();
  });
}
