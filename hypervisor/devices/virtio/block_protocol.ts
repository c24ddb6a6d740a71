/**
 * What a driver and a block device say to each other (virtio 1.2, section 5.2).
 *
 * @module
 */

/** Section 5.2.3. */
export const VIRTIO_BLK_F = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
} as const;

/** Section 5.2.6. */
export const VIRTIO_BLK_T = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const;
export const VIRTIO_BLK_S = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

export const BLOCK_QUEUE_SIZE = 256;
/** `type`, `reserved` and `sector` of `struct virtio_blk_req`. */
export const HEADER_BYTES = 16;
/** What GET_ID answers with. */
export const ID_BYTES = 20;
