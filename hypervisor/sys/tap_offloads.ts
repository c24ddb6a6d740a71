/**
 * A tap as a virtio-net device uses it: what its frames' headers are, what is left undone in frames, which
 * of them it takes, and whether it has a carrier.
 *
 * @module
 */
import { check } from "./errno.ts";
import { ioctl, ioctlBuffer, iow } from "./ioctl.ts";

/** ioctl numbers, by their names without TUN. */
export const TUN = {
  SETOFFLOAD: iow(0x54, 208, 4),
  SETTXFILTER: iow(0x54, 209, 4),
  SETSNDBUF: iow(0x54, 212, 4),
  SETVNETHDRSZ: iow(0x54, 216, 4),
  SETCARRIER: iow(0x54, 226, 4),
} as const;

/** What the reader of frames can finish itself, so that it may be left undone (TUN_F_*). */
export const TUN_F = {
  CSUM: 0x01,
  TSO4: 0x02,
  TSO6: 0x04,
  TSO_ECN: 0x08,
  USO4: 0x20,
  USO6: 0x40,
} as const;

const TUN_FLT_ALLMULTI = 1;
const MAC_BYTES = 6;

/** `struct virtio_net_hdr` with num_buffers, which virtio 1.0 and later always have. */
export const VNET_HEADER_BYTES = 12;

function word(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Int32Array([value]).buffer);
}

/** Once for each tap. */
export function prepareTap(fd: number): void {
  check(ioctlBuffer(fd, TUN.SETVNETHDRSZ, word(VNET_HEADER_BYTES)), "set the tap's header size");
  // Without a limit, vhost-net hands frames over in batches.
  check(ioctlBuffer(fd, TUN.SETSNDBUF, word(2 ** 31 - 1)), "set the tap's send buffer");
  setOffloads(fd, 0);
  setFilter(fd, undefined);
  setCarrier(fd, true);
}

/** Whether this kernel's taps segment UDP, which those before Linux 6.2 do not. Leaves no offload set. */
export function canSegmentUdp(fd: number): boolean {
  const known = ioctl(fd, TUN.SETOFFLOAD, TUN_F.CSUM | TUN_F.USO4 | TUN_F.USO6) >= 0;
  setOffloads(fd, 0);
  return known;
}

/** Tells the host's network stack what it may leave undone in frames that are read: bits of TUN_F. */
export function setOffloads(fd: number, bits: number): void {
  // Without checksums, a segment could not be cut into frames. ECN is a property of TSO.
  let allowed = (bits & TUN_F.CSUM) === 0 ? 0 : bits;
  if ((allowed & (TUN_F.TSO4 | TUN_F.TSO6)) === 0) allowed &= ~TUN_F.TSO_ECN;
  check(ioctl(fd, TUN.SETOFFLOAD, allowed), "set the tap's offloads");
}

/** Brings the interface's carrier up or takes it away: the host's side sees a cable unplugged. */
export function setCarrier(fd: number, on: boolean): void {
  check(ioctlBuffer(fd, TUN.SETCARRIER, word(on ? 1 : 0)), "set the tap's carrier");
}

export interface TapFilter {
  /** Whose frames are taken, one after the other; six bytes each. */
  addresses: Uint8Array;
  /** Frames to any group are taken too. */
  allMulticast: boolean;
}

/**
 * Lets only some frames be read; undefined lets all. The first eight addresses are compared, groups
 * behind them by a hash; a single station behind them opens the filter.
 */
export function setFilter(fd: number, filter: TapFilter | undefined): void {
  const { addresses, allMulticast } = filter ??
    { addresses: new Uint8Array(0), allMulticast: false };
  // struct tun_filter
  const bytes = new Uint8Array(4 + addresses.length);
  new Uint16Array(bytes.buffer, 0, 2).set([
    allMulticast ? TUN_FLT_ALLMULTI : 0,
    addresses.length / MAC_BYTES,
  ]);
  bytes.set(addresses, 4);
  check(ioctlBuffer(fd, TUN.SETTXFILTER, bytes), "set the tap's filter");
}
