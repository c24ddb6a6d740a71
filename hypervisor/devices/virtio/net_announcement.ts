/**
 * What tells a network behind which port a card is now: a RARP request (RFC 903) from its address to all,
 * which switches learn from and nobody has to answer.
 *
 * @module
 */
import { VNET_HEADER_BYTES } from "../../sys/tap_offloads.ts";
import { MAC_BYTES } from "./net_protocol.ts";

/** The shortest frame that there is, without its checksum. */
const FRAME_BYTES = 60;
const ETHERTYPE_RARP = 0x8035;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
const IPV4_BYTES = 4;
const REQUEST_REVERSE = 3;

/** The frame, as a tap is given it: behind a header that says nothing of it. */
export function announcement(mac: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(VNET_HEADER_BYTES + FRAME_BYTES);
  const frame = bytes.subarray(VNET_HEADER_BYTES);
  const view = new DataView(bytes.buffer, VNET_HEADER_BYTES);
  frame.fill(0xFF, 0, MAC_BYTES);
  frame.set(mac, MAC_BYTES);
  view.setUint16(12, ETHERTYPE_RARP);
  view.setUint16(14, HARDWARE_ETHERNET);
  view.setUint16(16, PROTOCOL_IPV4);
  view.setUint8(18, MAC_BYTES);
  view.setUint8(19, IPV4_BYTES);
  view.setUint16(20, REQUEST_REVERSE);
  // The sender's address and the one that is asked about; what their IP addresses are, nobody here knows.
  frame.set(mac, 22);
  frame.set(mac, 32);
  return bytes;
}
