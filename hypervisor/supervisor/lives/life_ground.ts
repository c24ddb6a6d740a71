/**
 * What snapshots, forks and reverts of guests stand on.
 *
 * @module
 */
import type { AgentWatch } from "../agent/watch.ts";
import type { EventHub } from "../events.ts";
import type { Log } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import type { SnapshotRecord, SnapshotStore } from "../store/snapshots.ts";
import type { DeviceGround } from "./device_ground.ts";
import type { GuestLife } from "./guest_life.ts";
import type { MemoryBudget } from "./memory_budget.ts";
import type { SnapshotFiles } from "./snapshot_files.ts";
import type { Tasks } from "./tasks.ts";

export interface LifeGround extends Pick<DeviceGround, "disks" | "launcher" | "store" | "life"> {
  snapshots: SnapshotStore;
  files: SnapshotFiles;
  tasks: Tasks;
  budget: MemoryBudget;
  agents: AgentWatch;
  events: EventHub;
  log: Log;
  /** Runs `act` when no change of the guest is under way; a task may be. */
  turn<T>(id: string, act: (life: GuestLife) => T | Promise<T>): Promise<T>;
  /** Adds a guest whose disks are there. */
  add(record: GuestRecord): GuestLife;
  /** Removes a guest that is not up, with its disks. */
  remove(life: GuestLife): void;
  /** Throws where the host is shutting down; `doing` begins the message: `Cannot start`. */
  refuseShutDown(doing: string, name: string): void;
}

/** What is known of the devices of one that is about to let go of some is over at any moment. */
export function refuseLeaving(life: GuestLife, doing: string): void {
  if (!life.isUp || !life.process?.run.isLeaving) return;
  throw problem(
    "wrong_state",
    `${doing} "${life.record.name}": a device is being unplugged. Wait, or unplug it by force`,
  );
}

/** Throws where a guest's disks are another host's now, as they are on a store. */
export function refuseForeign(
  { shared }: Pick<LifeGround["disks"], "shared">,
  { id, name, disks }: {
    id: string;
    name: string;
    disks: readonly { store: string | null }[];
  },
  doing: string,
): void {
  const disk = disks.find(({ store }) => store !== null);
  if (disk === undefined || !shared.isForeign(id)) return;
  throw problem(
    "wrong_state",
    `${doing} "${name}": another host has what it has on the store "${disk.store}"`,
  );
}

/** What of a guest may change though its next start goes on from memory, which knows nothing of it. */
const FREE = [
  ...["name", "autostart", "atShutdown", "startOrder"],
  ...["kernel", "initrd", "cmdline", "cloudInit"],
];

/** Throws where `fields` of a guest are part of the machine whose memory its next start goes on from. */
export function refuseResuming(
  { record, resumesFrom }: GuestLife,
  fields: readonly string[],
): void {
  if (resumesFrom === null) return;
  const bound = fields.filter((it) => !FREE.includes(it));
  if (bound.length === 0) return;
  throw problem(
    "wrong_state",
    `Cannot change ${bound.join(", ")} of "${record.name}": its next start goes on from a saved ` +
      "memory, which is of the machine as it was. Start it, or discard that memory, first",
  );
}

/** Files of a snapshot's disks, by the disks. */
export function diskFiles(
  { files }: Pick<LifeGround, "files">,
  snapshot: SnapshotRecord,
): string[] {
  return snapshot.record.disks.map((disk) => files.disk(snapshot, disk));
}
