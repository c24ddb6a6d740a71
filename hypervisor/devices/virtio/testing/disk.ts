/**
 * A disk that no file backs, for tests whose engine carries nothing out.
 *
 * @module
 */
import type { Disk } from "../disk.ts";

export function testDisk(more: Partial<Disk> = {}): Disk {
  return {
    path: "/test.raw",
    fd: -1,
    sectors: 1000,
    readonly: false,
    blockDevice: false,
    discard: true,
    physicalBlockBytes: 4096,
    ...more,
  };
}
