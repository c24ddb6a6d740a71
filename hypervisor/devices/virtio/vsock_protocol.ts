/**
 * What a driver and a socket device say to each other (virtio 1.2, section 5.10).
 *
 * @module
 */
import { struct } from "../../sys/struct.ts";
import type { QueueState } from "./queue.ts";

/** Section 5.10.6, in front of every packet. Addresses of ends have 64 bits, of which 32 are used. */
export const VsockHeader = struct("virtio_vsock_hdr", {
  src_cid: "u32",
  src_cid_high: "u32",
  dst_cid: "u32",
  dst_cid_high: "u32",
  src_port: "u32",
  dst_port: "u32",
  len: "u32",
  type: "u16",
  op: "u16",
  flags: "u32",
  buf_alloc: "u32",
  fwd_cnt: "u32",
});

/** Section 5.10.6.6. */
export const VIRTIO_VSOCK_TYPE_STREAM = 1;

/** Section 5.10.6: what a packet is for. */
export const VIRTIO_VSOCK_OP = {
  INVALID: 0,
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;

/** Section 5.10.6.5: the sender of SHUTDOWN will receive no more, or send no more. */
export const VIRTIO_VSOCK_SHUTDOWN = { RCV: 1, SEND: 2 } as const;

/** The host's address. */
export const HOST_CID = 2;

/** Section 5.10.2. */
export const RX = 0;
export const TX = 1;
export const EVENT = 2;
export const VSOCK_QUEUE_SIZE = 128;

/** Section 5.10.6.7: an event, of which there is one kind. */
export const VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0;

/** What moves the packets between DRIVER_OK and reset. */
export interface VsockBackend {
  notify(index: number): void;
  report(): Record<string, unknown>;
  /** How far RX and TX have got; nothing touches guest memory until {@linkcode thaw}. */
  freeze(): QueueState[];
  thaw?(): void;
  /** See {@linkcode VirtioDevice.letGo}. */
  letGo?(): void;
  stop(): void;
}
