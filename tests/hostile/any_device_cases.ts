/**
 * What a guest can do wrong with any virtio device: the same for each, in a few cases, as the devices
 * share their transport and their queues and yet each has to stop and start again by itself.
 *
 * @module
 */
import { COMMON } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import type { BlockDriver } from "./block_driver.ts";
import { F_INDIRECT, F_NEXT, F_WRITE, type GuestDriver, type QueueChoice } from "./guest_driver.ts";

export interface DeviceUnderTest {
  /** As in its VMM's messages. */
  name: string;
  driver: GuestDriver;
  /** What its driver accepts of feature bits 0 to 31. */
  features: number;
  /** The queues of which the device takes chains at once. */
  queues: readonly number[];
  /** A real request is answered, after a start. */
  works(): void;
}

/** Not RAM, nor a device. */
const NOWHERE = 0xA000_0000;

export function anyDeviceCases(device: DeviceUnderTest, bystander: BlockDriver): void {
  const { driver, name, features } = device;
  const { program } = driver;
  bystander.virtio.start();
  const start = (queues: Record<number, QueueChoice> = {}) => driver.start({ features, queues });
  const recovers = () => {
    start();
    device.works();
  };
  const violates = (how: string, body: () => void) =>
    program.case(`${name}: ${how}`, () => {
      body();
      driver.expectNeedsReset();
      bystander.readsSector(5);
      recovers();
    });

  program.case(`${name}: it works`, recovers);
  for (const queue of device.queues) {
    const { desc, used } = driver.rings(queue);
    violates(
      `queue ${queue} of 3 entries`,
      () => start({ [queue]: { size: 3 } }),
    );
    violates(
      `queue ${queue} where nothing is`,
      () => start({ [queue]: { desc: NOWHERE } }),
    );
    violates(
      `queue ${queue} that is misaligned`,
      () => start({ [queue]: { used: used + 1 } }),
    );
    violates(`an available index far ahead in queue ${queue}`, () => {
      start();
      driver.setAvailIndex(0x8000, queue);
      driver.kick(queue);
    });
    violates(`queue ${queue} broken before DRIVER_OK`, () => {
      driver.negotiate(features);
      for (let index = 0; index < driver.queues; index++) driver.setUpQueue(index);
      driver.setAvailIndex(0x8000, queue);
      driver.driverOk();
      driver.kick(queue);
    });
    violates(`a head outside queue ${queue}`, () => {
      start();
      driver.offer([0xFFFF], queue);
      driver.kick(queue);
    });
    program.case(`${name}: malformed chains in queue ${queue}`, () => {
      start();
      const chains = [
        { flags: F_NEXT, length: 16, next: 0 },
        { flags: F_NEXT | F_WRITE, length: 16, next: 0xFFFF },
        { flags: 0, length: 0xFFFF_FFFF },
        { flags: F_WRITE, length: 0xFFFF_FFFF },
        { flags: F_INDIRECT, length: 24 },
        { flags: F_INDIRECT | F_WRITE, length: 0 },
        { flags: F_WRITE, length: 0 },
      ];
      chains.forEach((one, i) => driver.describe(i, { address: desc, ...one }, desc));
      driver.describe(7, { address: NOWHERE, length: 64, flags: F_WRITE }, desc);
      for (let i = 0; i < 8; i++) {
        driver.offer([i], queue);
        driver.kick(queue);
      }
      bystander.readsSector(5);
      recovers();
    });
    program.case(`${name}: queue ${queue} whose rings lie over each other`, () => {
      start({ [queue]: { avail: desc, used: desc } });
      for (let i = 0; i < 8; i++) {
        driver.describe(i, { address: desc, length: 0x800, flags: i % 2 * F_WRITE }, desc);
        driver.kick(queue);
      }
      bystander.readsSector(5);
      recovers();
    });
  }
  program.case(`${name}: configuration of every size at every place`, () => {
    for (const at of [...Array(0x44).keys(), 0xFFD, 0xFFF, 0x1FFF]) {
      for (const size of [1, 2, 4, 8] as const) {
        program.read(driver.bar + BAR.DEVICE + at, size);
        program.write(driver.bar + BAR.DEVICE + at, size, 0xFFFF_FFFF);
      }
    }
    bystander.readsSector(5);
    recovers();
  });
  program.case(`${name}: a reset before DRIVER_OK is carried out, and many in a row`, () => {
    for (let i = 0; i < 20; i++) {
      start();
      driver.kick();
      driver.write(COMMON.DEVICE_STATUS, 0);
      driver.write(COMMON.DEVICE_STATUS, 1);
    }
    recovers();
  });
}
