/**
 * The settings as who helps from afar may see them.
 *
 * @module
 */
import type { HostSettings } from "../../hypervisor/supervisor/api/host_settings.ts";

/** Without the password's hash; of keys only how many there are. */
export function withoutSecrets(settings: HostSettings): Record<string, unknown> {
  const { hostname, network, timezone, ntp, syslog, screen, dataDisks, sshKeys = [] } = settings;
  return {
    hostname,
    network,
    timezone,
    ntp,
    syslog,
    screen,
    dataDisks,
    keysForSsh: sshKeys.length,
  };
}
