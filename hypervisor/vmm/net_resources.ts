/**
 * What a network card stands on: the queues of its tap, and a vhost for each.
 *
 * @module
 */
import type { NetOptions } from "../devices/virtio/net_options.ts";
import { close } from "../sys/files.ts";
import { mtuOf, setMtu } from "../sys/links.ts";
import { canSegmentUdp } from "../sys/tap_offloads.ts";
import { openTap } from "../sys/tap_queues.ts";
import { openVhostNet } from "../sys/vhost.ts";
import type { NetConfig } from "./control.ts";
import type { HeldDevice } from "./upgrade/held.ts";

/** Pairs of queues that a guest gets without asking: each has a kernel thread and memory of its own. */
const DEFAULT_MAX_PAIRS = 4;

export function openNet(
  net: NetConfig,
  options: { name: string; cpus: number; held?: HeldDevice },
): NetOptions {
  const { tap, mtu, queues, mac, queueSize, linkUp, receiveLimit, sendLimit } = net;
  const { held } = options;
  const taps = held?.fds ?? openTap(tap, {
    queues: queues ?? Math.min(options.cpus, DEFAULT_MAX_PAIRS),
    exactly: queues !== undefined,
  });
  const vhosts = taps.map(openVhostNet);
  if (vhosts.includes(-1)) {
    for (const fd of vhosts.splice(0)) if (fd >= 0) close(fd);
  }
  try {
    if (mtu !== undefined && mtuOf(tap) !== mtu) setMtu(tap, mtu);
  } catch (error) {
    for (const fd of [...taps, ...vhosts]) close(fd);
    throw error;
  }
  return {
    name: options.name,
    interfaceName: tap,
    taps,
    vhosts,
    mac,
    mtu: mtuOf(tap),
    segmentsUdp: held?.segmentsUdp ?? canSegmentUdp(taps[0]),
    queueSize,
    linkUp,
    receiveLimit,
    sendLimit,
  };
}
