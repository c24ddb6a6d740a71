/**
 * Having the kernel read a disk's partition table anew.
 *
 * @module
 */
import { check } from "./errno.ts";
import { close, O_RDONLY, open } from "./files.ts";
import { io, ioctl } from "./ioctl.ts";

const BLKRRPART = io(0x12, 95);

/** Rereads the table of the whole disk `device`; none of its partitions may be in use. */
export function rereadPartitions(device: string): void {
  const fd = open(device, O_RDONLY);
  try {
    check(ioctl(fd, BLKRRPART, 0), `reread the partition table of "${device}"`);
  } finally {
    close(fd);
  }
}
