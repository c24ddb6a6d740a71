/**
 * What a driver and a network device say to each other (virtio 1.2, section 5.1).
 *
 * @module
 */

/** Section 5.1.3. */
export const VIRTIO_NET_F = {
  CSUM: 0,
  GUEST_CSUM: 1,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  MRG_RXBUF: 15,
  STATUS: 16,
} as const;

/** Section 5.1.2, without multiqueue. */
export const RX = 0;
export const TX = 1;
export const NET_QUEUE_SIZE = 256;

/** What moves the packets between DRIVER_OK and reset. */
export interface NetBackend {
  notify(index: number): void;
  stop(): void;
}
