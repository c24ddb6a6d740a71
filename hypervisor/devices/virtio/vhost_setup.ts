/**
 * What a vhost device must know before its queues: whose it is, what the driver accepted, where guest
 * RAM lies.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import { EBUSY, SysError } from "../../sys/errno.ts";
import { setFeatures, setMemory, setOwner, vhostFeatures } from "../../sys/vhost.ts";
import { VIRTIO_F } from "./device.ts";

/** Prepares the vhost device `fd` for a driver that accepted `features`. */
export function prepareVhost(
  fd: number,
  options: { memory: GuestMemory; features: ReadonlySet<number> },
): void {
  const { memory, features } = options;
  try {
    setOwner(fd);
  } catch (error) {
    // From before the driver's last reset; the owner stays.
    if (!(error instanceof SysError) || error.errno !== EBUSY) throw error;
  }
  // Features before the rings: with EVENT_IDX they are longer, and vhost checks where they lie.
  const known = vhostFeatures(fd);
  setFeatures(fd, [...features, VIRTIO_F.VERSION_1].filter((bit) => known.has(bit)));
  setMemory(
    fd,
    memory.slots.map(({ guest, offset, length }) => ({
      guest,
      length,
      address: memory.address + offset,
    })),
  );
}
