/**
 * The host's address, by DHCP.
 *
 * @module
 */
import { BRIDGE } from "./network.ts";
import type { ServiceConfig } from "./service.ts";

/** Stays in the foreground and renews the lease; without an answer it keeps asking. */
export function dhcpService(): ServiceConfig {
  return {
    name: "dhcp",
    command: [
      "/bin/busybox",
      "udhcpc",
      ...["-f", "-i", BRIDGE, "-s", "/app/dhcp.sh", "-x", "hostname:denovisor"],
      // Discover three times, a second apart, then after five seconds again.
      ...["-t", "3", "-T", "1", "-A", "5", "-R"],
    ],
    env: { PATH: "/bin:/sbin" },
  };
}
