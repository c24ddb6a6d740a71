/**
 * Which parts of a guest's disks have changed, told to whoever copies them while the guest runs: those
 * that it had from the start, and those that were plugged in.
 *
 * @module
 */
import type { VirtioDevice } from "../devices/virtio/device.ts";
import type { CopiedDisk } from "../devices/virtio/disk_changes.ts";
import type { ChangedRanges, DiskRange, TrackedDisk } from "./control.ts";

/** As many as are sure to fit a line of the control protocol. */
export const MAX_RANGES = 1024;

export class DiskTracking {
  readonly #devices: () => Iterable<VirtioDevice>;
  #isOn = false;

  /** `devices` are those that there are at the moment. */
  constructor(devices: () => Iterable<VirtioDevice>) {
    this.#devices = devices;
  }

  /** From the return on no change is missed, and none from before is known; the disks, by name. */
  start(): Record<string, TrackedDisk> {
    this.#isOn = true;
    const disks = [...this.#disks()];
    for (const [, { changes, sizeBytes }] of disks) changes.start(sizeBytes);
    return Object.fromEntries(
      disks.map(([name, { path, readonly, sizeBytes }]) => [name, { path, readonly, sizeBytes }]),
    );
  }

  stop(): void {
    this.#isOn = false;
    for (const [, { changes }] of this.#disks()) changes.stop();
  }

  /** A device has come, which no driver uses yet. */
  plugged({ disk }: VirtioDevice): void {
    if (this.#isOn) disk?.changes.start(disk.sizeBytes);
  }

  /** Takes what has changed of a disk since it was last taken. */
  take(name: string): ChangedRanges {
    const { changes, sizeBytes } = this.#disk(name, "tell what has changed");
    const ranges = changes.take(MAX_RANGES);
    return { ranges, leftBytes: changes.leftBytes, sizeBytes };
  }

  /** Counts ranges as changed that were taken for nothing; throws where they are none of the disk's. */
  giveBack(name: string, ranges: readonly DiskRange[]): void {
    const { changes, sizeBytes } = this.#disk(name, "take back what has changed");
    for (const [offset, length] of ranges) {
      if (offset + length <= sizeBytes) continue;
      throw new RangeError(
        `Cannot take back what has changed of "${name}": ${offset} + ${length} is past its end`,
      );
    }
    for (const [offset, length] of ranges) changes.add(offset, length);
  }

  *#disks(): Iterable<[string, CopiedDisk]> {
    for (const { name, disk } of this.#devices()) if (disk !== undefined) yield [name, disk];
  }

  #disk(name: string, action: string): CopiedDisk {
    for (const [key, disk] of this.#disks()) {
      if (key !== name) continue;
      if (disk.changes.isOn) return disk;
      throw new Error(`Cannot ${action} of "${name}": its changes are not tracked`);
    }
    throw new RangeError(`Cannot ${action} of "${name}": the guest has no such disk`);
  }
}
