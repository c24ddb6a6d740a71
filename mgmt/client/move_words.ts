import type { Guest, Host, Peer } from "../../hypervisor/supervisor/api/schemas.ts";

/** Why a guest may not be taken in by another host, as far as can be seen from here. */
export function cautionsOf(
  peer: Peer,
  { guest, host }: { guest: Guest; host: Host },
): string[] {
  if (!peer.reachable) return [];
  const memoryMiB = guest.memoryMiB + guest.memory.requestedMiB;
  const diskMiB = guest.disks.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
  const isOther = peer.cpuModel !== null && peer.cpuModel !== host.cpuModel;
  return [
    peer.memoryFreeMiB !== null && peer.memoryFreeMiB < memoryMiB &&
    "It has less memory free than the guest has",
    peer.diskFreeMiB !== null && peer.diskFreeMiB < diskMiB &&
    "It has less storage free than the guest’s disks may take",
    isOther && guest.cpu.model === "host" &&
    "It has another CPU, and the guest uses all that this host’s one has",
  ].filter((it) => it !== false);
}
