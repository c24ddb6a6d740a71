/**
 * A disk of a configuration, opened: what its device is made from.
 *
 * @module
 */
import type { BlockOptions } from "../devices/virtio/block.ts";
import { MAX_BLOCK_QUEUES } from "../devices/virtio/block_protocol.ts";
import { openDisk } from "../devices/virtio/disk.ts";
import type { DiskConfig } from "./control.ts";

/** Throws an error that says why the disk cannot be had. Without a number, each CPU has its queue. */
export function blockOptions(
  config: DiskConfig,
  options: { name: string; cpus: number; unlocked?: boolean; held?: readonly number[] },
): BlockOptions {
  const { path, readonly, cache, serial, discard, rateLimit, blockSizeBytes } = config;
  return {
    name: options.name,
    disk: openDisk(path, { readonly, cache, unlocked: options.unlocked, held: options.held }),
    serial,
    queues: config.queues ?? Math.min(options.cpus, MAX_BLOCK_QUEUES),
    writeback: config.writeCache,
    discard,
    blockBytes: blockSizeBytes,
    rateLimit,
    pinMemory: config.pinMemory,
  };
}
