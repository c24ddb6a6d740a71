/**
 * A split virtqueue's descriptors (virtio 1.2, section 2.7.5).
 *
 * @module
 */

export const F_NEXT = 1;
export const F_WRITE = 2;
export const F_INDIRECT = 4;
export const DESC_BYTES = 16;
export const MAX_QUEUE_SIZE = 32768;

/** Section 2.7.5.2: a chain is at most this long, and a length fits the used ring's 32 bits. */
export const MAX_CHAIN_BYTES: number = 2 ** 32;
