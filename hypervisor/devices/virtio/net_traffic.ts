/**
 * What has gone through a tap, as the guest sees it: what the host sends there, the guest receives.
 *
 * @module
 */
import { linkStatistics } from "../../sys/link_statistics.ts";

/** Null where the interface is gone. */
export function trafficOf(interfaceName: string): Record<"received" | "sent", unknown> {
  const seen = linkStatistics(interfaceName);
  if (!seen) return { received: null, sent: null };
  return {
    received: { frames: seen.tx_packets, bytes: seen.tx_bytes, dropped: seen.tx_dropped },
    sent: { frames: seen.rx_packets, bytes: seen.rx_bytes, dropped: seen.rx_dropped },
  };
}
