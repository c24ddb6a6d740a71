import type { Guest, Host, Peer, UnsettledMove } from "../../hypervisor/supervisor/api/schemas.ts";

/** Why a guest may not be taken in by another host, as far as can be seen from here. */
export function cautionsOf(
  peer: Peer,
  { guest, host }: { guest: Guest; host: Host },
): string[] {
  if (!peer.reachable) return [];
  const memoryMiB = guest.memoryMiB + guest.memory.requestedMiB;
  const going = guest.disks.filter(({ store }) => store === null);
  const diskMiB = going.reduce((sum, { sizeMiB }) => sum + sizeMiB, 0);
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

/** What becomes of the disks of a guest that moves. */
export function diskWords({ disks }: Guest, { snapshots }: { snapshots: number }): string {
  const going = `its disks${snapshots === 0 ? "" : " and snapshots"}`;
  const staying = disks.filter(({ store }) => store !== null);
  const others = "and goes on running meanwhile but for an instant at the end";
  if (staying.length === 0) return `It moves with ${going}, ${others}`;
  const names = staying.map(({ name, store }) => `${name} (store ${store})`).join(", ");
  const stays = staying.length === 1 ? "stays where it is" : "stay where they are";
  const goes = staying.length === 1 ? "it moves" : "they move";
  return `It moves with ${going}, ${others}. ${names} ${stays} if that host has the store too; if not, ` +
    `${goes} into its own storage`;
}

/** What the other host of a move is called. */
export function peerWords({ peerName }: UnsettledMove): string {
  return peerName ?? "a host that was removed";
}

/** How it stands with a move that is not settled. */
export function stateWords(move: UnsettledMove): string {
  const peer = peerWords(move);
  switch (move.state) {
    case "unknown":
      return move.direction === "leaving"
        ? `It was given to ${peer}, which has not said yet that it has it. It does not start here until then`
        : `All of it is here, and ${peer} has yet to say whether it is this host’s`;
    case "said":
      return `It was settled by hand, and ${peer} has not heard it yet`;
    case "aside":
      return `${peer} has it, where this host was declared lost. What is here of it is set aside: delete it, or fork it to keep what it has`;
  }
}
