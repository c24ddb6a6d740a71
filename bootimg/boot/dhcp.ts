/**
 * Addresses by DHCP.
 *
 * @module
 */
import type { DhcpClient } from "../network/plan.ts";
import type { ServiceConfig } from "./service.ts";

/** Stays in the foreground and renews the lease; without an answer it keeps asking. */
export function dhcpService(
  { bridge, route, dns }: DhcpClient,
  options: { hostname: string },
): ServiceConfig {
  return {
    name: `dhcp on ${bridge}`,
    command: [
      "/bin/busybox",
      "udhcpc",
      ...["-f", "-i", bridge, "-s", "/app/dhcp.sh", "-x", `hostname:${options.hostname}`],
      // Discover three times, a second apart, then after five seconds again.
      ...["-t", "3", "-T", "1", "-A", "5", "-R"],
    ],
    // What the script below it is to take of the answer.
    env: { PATH: "/bin:/sbin", SET_ROUTE: route ? "yes" : "no", SET_DNS: dns ? "yes" : "no" },
  };
}
