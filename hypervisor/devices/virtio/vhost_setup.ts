/**
 * What a vhost device must know before its queues: whose it is, what the driver accepted, where guest
 * RAM lies.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import { EBUSY, SysError } from "../../sys/errno.ts";
import {
  setFeatures,
  setLog,
  setMemory,
  setOwner,
  VHOST_F_LOG_ALL,
  vhostFeatures,
  type VhostRings,
} from "../../sys/vhost.ts";
import { VIRTIO_F } from "./device.ts";
import type { QueueSetup, Rings } from "./queue.ts";

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
  setVhostFeatures(fd, { memory, features });
  setMemory(
    fd,
    memory.slots.map(({ guest, offset, length }) => ({
      guest,
      length,
      address: memory.address + offset,
    })),
  );
}

/**
 * What the driver accepted; and while the guest's memory has a log for vhost, that what vhost writes to
 * buffers goes there. Also for one that runs: what it does after this is logged, or no longer is.
 */
export function setVhostFeatures(
  fd: number,
  options: { memory: GuestMemory; features: ReadonlySet<number> },
): void {
  const { memory, features } = options;
  const known = vhostFeatures(fd);
  const wanted = [...features, VIRTIO_F.VERSION_1].filter((bit) => known.has(bit));
  if (memory.vhostLog !== undefined) {
    if (!known.has(VHOST_F_LOG_ALL)) {
      throw new Error("Cannot log what vhost writes: this kernel's vhost does not offer it");
    }
    setLog(fd, memory.vhostLog);
    wanted.push(VHOST_F_LOG_ALL);
  }
  setFeatures(fd, wanted);
}

/** Where a queue's rings lie for vhost, and in its log if there is one. */
export function vhostRings(
  memory: GuestMemory,
  options: { rings: Rings; setup: QueueSetup },
): VhostRings {
  const { desc, avail, used } = options.rings;
  return {
    desc: memory.address + desc,
    avail: memory.address + avail,
    used: memory.address + used,
    logUsedAt: memory.vhostLog === undefined ? undefined : options.setup.used,
  };
}
