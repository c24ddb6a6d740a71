import { ulid } from "@std/ulid";
import type {
  Guest,
  Peer,
  Snapshot,
  SnapshotTree,
  UnsettledMove,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { ago } from "./fake_data.ts";

const MIB = 2 ** 20;

export function newSnapshot(name: string, more: Partial<Snapshot> = {}): Snapshot {
  return {
    id: ulid(),
    name,
    description: "",
    parent: null,
    memory: false,
    template: false,
    frozen: false,
    memoryBytes: more.memory ? 412 * MIB : 0,
    diskBytes: 0,
    ownBytes: (more.memory ? 412 : 0) * MIB + 38 * MIB,
    pauseMs: more.memory ? 21.7 : null,
    createdAt: new Date().toISOString(),
    ...more,
  };
}

/** Where one was tried and left, and another one went on. */
export function demoTree({ id: guest }: Guest): SnapshotTree {
  const fresh = newSnapshot("fresh install", {
    description: "Debian with all updates, before anything of ours",
    ownBytes: 1430 * MIB,
    createdAt: ago(4200),
  });
  const server = newSnapshot("web server", {
    parent: fresh.id,
    memory: true,
    template: true,
    createdAt: ago(3000),
  });
  const tried = newSnapshot("tried HTTP/3", {
    parent: server.id,
    memory: true,
    createdAt: ago(1500),
  });
  const before = newSnapshot("before the move", { parent: server.id, createdAt: ago(200) });
  return { guest, snapshots: [fresh, server, tried, before], current: before.id, base: null };
}

export function newPeer(more: Partial<Peer> = {}): Peer {
  return {
    id: ulid(),
    name: "basement-2",
    address: "192.168.1.21:8444",
    fingerprint: "5a".repeat(32),
    reachable: true,
    problem: null,
    version: "0.1.0",
    cpuModel: "AMD EPYC 3251",
    memoryFreeMiB: 18_400,
    diskFreeMiB: 512 * 1024,
    pairedAt: ago(60_000),
    ...more,
  };
}

/** A guest was given to a host that does not answer. */
export function newMove(guest: Guest, more: Partial<UnsettledMove> = {}): UnsettledMove {
  return {
    id: ulid(),
    guest: guest.id,
    guestName: guest.name,
    peer: ulid(),
    peerName: "garage",
    direction: "leaving",
    state: "unknown",
    ...more,
  };
}

export function demoPeers(): Peer[] {
  return [
    newPeer(),
    newPeer({
      name: "garage",
      address: "192.168.1.30",
      reachable: false,
      problem: "It does not answer at 192.168.1.30",
      version: null,
      cpuModel: null,
      memoryFreeMiB: null,
      diskFreeMiB: null,
      pairedAt: ago(80_000),
    }),
    newPeer({
      name: "loft",
      address: "loft.home",
      cpuModel: "Intel Xeon E-2278G",
      memoryFreeMiB: 1200,
      diskFreeMiB: 40 * 1024,
      pairedAt: ago(3000),
    }),
  ];
}
