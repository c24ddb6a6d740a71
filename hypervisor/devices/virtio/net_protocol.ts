/**
 * What a driver and a network device say to each other (virtio 1.2, section 5.1), as numbers.
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";

/** Section 5.1.3. */
export const VIRTIO_NET_F = {
  CSUM: 0,
  GUEST_CSUM: 1,
  CTRL_GUEST_OFFLOADS: 2,
  MTU: 3,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  GUEST_ECN: 9,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  HOST_ECN: 13,
  MRG_RXBUF: 15,
  STATUS: 16,
  CTRL_VQ: 17,
  CTRL_RX: 18,
  CTRL_RX_EXTRA: 20,
  GUEST_ANNOUNCE: 21,
  MQ: 22,
  CTRL_MAC_ADDR: 23,
  GUEST_USO4: 54,
  GUEST_USO6: 55,
  HOST_USO: 56,
} as const;

/** Section 5.1.4. */
export const NetConfig = struct("virtio_net_config", {
  mac: ["u8", 6],
  status: "u16",
  max_virtqueue_pairs: "u16",
  mtu: "u16",
});

/** Section 5.1.4, of `status`. */
export const VIRTIO_NET_S = { LINK_UP: 1, ANNOUNCE: 2 } as const;

/** Section 5.1.6.5: classes of commands. */
export const VIRTIO_NET_CTRL = { RX: 0, MAC: 1, ANNOUNCE: 3, MQ: 4, GUEST_OFFLOADS: 5 } as const;
/** Sections 5.1.6.5.1 to 5.1.6.5.6: commands, by their classes. */
export const VIRTIO_NET_CTRL_RX = {
  PROMISC: 0,
  ALLMULTI: 1,
  ALLUNI: 2,
  NOMULTI: 3,
  NOUNI: 4,
  NOBCAST: 5,
} as const;
export const VIRTIO_NET_CTRL_MAC = { TABLE_SET: 0, ADDR_SET: 1 } as const;
export const VIRTIO_NET_CTRL_ANNOUNCE = { ACK: 0 } as const;
export const VIRTIO_NET_CTRL_MQ = { VQ_PAIRS_SET: 0 } as const;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS = { SET: 0 } as const;
export const ACK = { OK: 0, ERR: 1 } as const;

/** Section 5.1.2: receiveq1, transmitq1, receiveq2 and so on, and after the last pair the control queue. */
export const RX = 0;
export const TX = 1;

/** Entries of a receive or transmit queue, where nothing else is asked for; at most vhost's 1024. */
export const NET_QUEUE_SIZE = 256;
export const MAX_NET_QUEUE_SIZE = 1024;
export const CONTROL_QUEUE_SIZE = 64;
/** Pairs of queues. */
export const MAX_PAIRS = 8;

export const MAC_BYTES = 6;
