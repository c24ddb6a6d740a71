/**
 * A device of no use with two queues, for tests of what is around a device.
 *
 * @module
 */
import type { VirtioDevice } from "../device.ts";

export class FakeDevice implements VirtioDevice {
  readonly name = "fake0";
  readonly id = 4;
  readonly features = [0, 28, 33];
  readonly queueSizes = [256, 64];
  readonly writes: [number, number, number][] = [];

  readConfig(offset: number, size: number): number {
    return size === 4 ? 0xC0DE_0000 + offset : offset & (2 ** (8 * size) - 1);
  }

  writeConfig(offset: number, size: number, value: number): void {
    this.writes.push([offset, size, value]);
  }

  activate(): void {}
  notify(): void {}
  reset(): void {}
}
