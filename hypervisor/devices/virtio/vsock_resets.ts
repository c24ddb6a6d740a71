/**
 * Resets that the guest is still to get, of streams that are no more (virtio 1.2, section 5.10.6.4).
 *
 * @module
 */
import type { View } from "../../sys/struct.ts";
import {
  HOST_CID,
  VIRTIO_VSOCK_OP,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHeader,
} from "./vsock_protocol.ts";

/** From here on, no more packets are taken from the guest, each of which may bring about another one. */
const FULL = 256;
/** Streams that end meanwhile need room as well. */
const CAPACITY = 1024;

type Header = View<typeof VsockHeader.fields>;

export class VsockResets {
  readonly #headers = Array.from({ length: CAPACITY }, () => VsockHeader.create({}));
  #first = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get full(): boolean {
    return this.#size >= FULL;
  }

  /** Answers a packet of the guest's. */
  add(packet: Header): void {
    const out = this.#append();
    if (out === undefined) return;
    out.src_cid = packet.dst_cid;
    out.src_cid_high = packet.dst_cid_high;
    out.dst_cid = packet.src_cid;
    out.src_port = packet.dst_port;
    out.dst_port = packet.src_port;
    out.type = packet.type;
  }

  addStream(stream: { hostPort: number; guestPort: number; cid: number }): void {
    const out = this.#append();
    if (out === undefined) return;
    out.src_cid = HOST_CID;
    out.src_cid_high = 0;
    out.dst_cid = stream.cid;
    out.src_port = stream.hostPort;
    out.dst_port = stream.guestPort;
    out.type = VIRTIO_VSOCK_TYPE_STREAM;
  }

  /** The first packet that is still to be sent; it is taken off. */
  next(): Uint8Array {
    const { $bytes } = this.#headers[this.#first];
    this.#first = (this.#first + 1) % CAPACITY;
    this.#size--;
    return $bytes;
  }

  #append(): Header | undefined {
    // A guest that takes none of a thousand does without more.
    if (this.#size === CAPACITY) return undefined;
    const out = this.#headers[(this.#first + this.#size++) % CAPACITY];
    out.op = VIRTIO_VSOCK_OP.RST;
    return out;
  }
}
