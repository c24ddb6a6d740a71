/**
 * What a driver and a block device say to each other (virtio 1.2, section 5.2).
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";

/** Section 5.2.3. */
export const VIRTIO_BLK_F = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** Section 5.2.6. */
export const VIRTIO_BLK_T = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
} as const;
export const VIRTIO_BLK_S = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** Section 5.2.4, as far as the offered features give it meaning. */
export const BlockConfig = struct("virtio_blk_config", {
  capacity: "n64",
  size_max: "u32",
  seg_max: "u32",
  cylinders: "u16",
  heads: "u8",
  sectors: "u8",
  blk_size: "u32",
  physical_block_exp: "u8",
  alignment_offset: "u8",
  min_io_size: "u16",
  opt_io_size: "u32",
  writeback: "u8",
  unused0: "u8",
  num_queues: "u16",
  max_discard_sectors: "u32",
  max_discard_seg: "u32",
  discard_sector_alignment: "u32",
  max_write_zeroes_sectors: "u32",
  max_write_zeroes_seg: "u32",
  write_zeroes_may_unmap: "u8",
});

export const BLOCK_QUEUE_SIZE = 256;
export const MAX_BLOCK_QUEUES = 16;
export const SECTOR_BYTES = 512;
/** `type`, `reserved` and `sector` of `struct virtio_blk_req`. */
export const HEADER_BYTES = 16;
/** `sector`, `num_sectors` and `flags` of `struct virtio_blk_discard_write_zeroes`. */
export const RANGE_BYTES = 16;
/** The only bit of `flags`. */
export const WRITE_ZEROES_UNMAP = 1;
/** What GET_ID answers with. */
export const ID_BYTES = 20;

/** 1 GiB: freeing blocks takes no time to speak of. */
export const MAX_DISCARD_SECTORS = 2 ** 21;
/** 128 MiB: some disks can only write the zeros one by one, and a flush waits for them. */
export const MAX_WRITE_ZEROES_SECTORS = 2 ** 18;
