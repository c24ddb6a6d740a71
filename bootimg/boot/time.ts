/**
 * The clock, set and kept right by the servers that the settings name.
 *
 * @module
 */
import type { ServiceConfig } from "./service.ts";

const CONFIG_FILE = "/run/denovisor/ntpd.conf";

/** ntpd's configuration: it asks, and answers nobody. */
export function timeConfig(servers: readonly string[]): string {
  return servers.map((it) => `servers ${it}\n`).join("");
}

/**
 * Sets the clock once, at its start, and corrects it slowly from then on: so it is to be started when
 * there is a network.
 */
export function timeService(servers: readonly string[]): ServiceConfig {
  Deno.writeTextFileSync(CONFIG_FILE, timeConfig(servers));
  return {
    name: "time",
    command: ["/sbin/ntpd", "-d", "-s", "-f", CONFIG_FILE],
    env: { PATH: "/bin:/sbin" },
  };
}
