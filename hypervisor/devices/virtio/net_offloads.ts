/**
 * Which work a network device and its driver leave to each other, and how the tap is told.
 *
 * @module
 */
import { TUN_F } from "../../sys/tap_offloads.ts";
import { VIRTIO_F } from "./device.ts";
import { VIRTIO_NET_F as F } from "./net_protocol.ts";

/** What the driver finishes itself, by its feature, as the tap calls it. */
const GUEST_OFFLOADS: readonly (readonly [feature: number, bit: number])[] = [
  [F.GUEST_CSUM, TUN_F.CSUM],
  [F.GUEST_TSO4, TUN_F.TSO4],
  [F.GUEST_TSO6, TUN_F.TSO6],
  [F.GUEST_ECN, TUN_F.TSO_ECN],
  [F.GUEST_USO4, TUN_F.USO4],
  [F.GUEST_USO6, TUN_F.USO6],
];

export interface FeatureOptions {
  pairs: number;
  mtu: boolean;
  segmentsUdp: boolean;
  /** The features of the vhost that serves the rings, where one does. */
  vhost: ReadonlySet<number> | undefined;
}

/** The features that a network device offers. */
export function offeredFeatures(options: FeatureOptions): number[] {
  const { vhost } = options;
  // Frames cross the tap as they are, so these are the tap's doing.
  const tap: number[] = [F.CSUM, F.HOST_TSO4, F.HOST_TSO6, F.HOST_ECN];
  tap.push(F.GUEST_CSUM, F.GUEST_TSO4, F.GUEST_TSO6, F.GUEST_ECN);
  if (options.segmentsUdp) tap.push(F.HOST_USO, F.GUEST_USO4, F.GUEST_USO6);
  // These have to be known to whoever serves the rings.
  const rings = [F.MRG_RXBUF, VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX];
  const device: number[] = [F.MAC, F.STATUS, F.CTRL_VQ, F.CTRL_RX, F.CTRL_RX_EXTRA];
  device.push(F.CTRL_MAC_ADDR, F.CTRL_GUEST_OFFLOADS, F.GUEST_ANNOUNCE);
  if (options.mtu) device.push(F.MTU);
  if (options.pairs > 1) device.push(F.MQ);
  return [...tap, ...rings.filter((bit) => vhost?.has(bit) ?? true), ...device];
}

/** What the tap may leave undone for a driver that accepted `features`, as bits of TUN_F. */
export function tapOffloads(features: ReadonlySet<number>): number {
  return GUEST_OFFLOADS.reduce((bits, [f, bit]) => features.has(f) ? bits | bit : bits, 0);
}

/**
 * Section 5.1.6.5.6: the offloads that the driver wants from now on, as a mask of feature bits; -1 if one
 * of them was not negotiated.
 */
export function chosenOffloads(low: number, high: number, features: ReadonlySet<number>): number {
  const chosen = new Set<number>();
  for (let bit = 0; bit < 64; bit++) {
    if (((bit < 32 ? low : high) >>> (bit & 31) & 1) === 0) continue;
    if (!features.has(bit) || !GUEST_OFFLOADS.some(([feature]) => feature === bit)) return -1;
    chosen.add(bit);
  }
  return tapOffloads(chosen);
}
