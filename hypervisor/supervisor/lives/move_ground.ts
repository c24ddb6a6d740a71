/**
 * What moving guests from host to host stands on.
 *
 * @module
 */
import type { GuestRecord } from "../store/guests.ts";
import type { Claims } from "./claims.ts";
import type { DeviceGround } from "./device_ground.ts";
import type { GuestLife } from "./guest_life.ts";
import type { MemoryBudget } from "./memory_budget.ts";
import type { SnapshotStore } from "../store/snapshots.ts";
import { setAside } from "./set_aside.ts";
import type { SnapshotFiles } from "./snapshot_files.ts";
import type { VmmProcess } from "./vmm_process.ts";

export interface MoveGround extends DeviceGround {
  claims: Claims;
  budget: MemoryBudget;
  snapshots: SnapshotStore;
  /** Where snapshots lie. */
  snapshotFiles: SnapshotFiles;
  /** A guest of which all is kept already is this host's, with the VMM that runs it; null where none does. */
  arrive(record: GuestRecord, process: VmmProcess | null): GuestLife;
  /** A guest that has gone is no more, nor are its disks, but for those on stores. */
  leave(id: string): void;
  /** What is here of a guest that another host has does not run any more, and has another name. */
  setAside(id: string, reason: string): Promise<void>;
}

/** What it is made of. */
export interface MoveGroundOptions
  extends Pick<MoveGround, "store" | "claims" | "budget" | "snapshots" | "snapshotFiles"> {
  turn: MoveGround["inTurn"];
  /** Adds a guest of which all is there. */
  add(record: GuestRecord): GuestLife;
  /** Removes a guest but for what it has on stores. */
  leave(life: GuestLife): void;
  /** Tells everybody what snapshots a guest has now. */
  tellSnapshots(guest: string): void;
}

export function moveGround(ground: DeviceGround, options: MoveGroundOptions): MoveGround {
  const { turn, add, leave, tellSnapshots, ...parts } = options;
  return {
    ...ground,
    ...parts,
    inTurn: turn,
    arrive(record, process) {
      const life = add(record);
      if (process !== null) life.adopt(process);
      life.tell();
      tellSnapshots(record.id);
      return life;
    },
    leave: (id) => leave(ground.life(id)),
    async setAside(id, reason) {
      const life = ground.life(id);
      parts.claims.hold(id, { reason, keepsOff: true, mayChange: true });
      await setAside(life, {
        isThere: () => parts.store.get(id) !== null,
        hasName: (name) => parts.store.hasName(name),
        keep: ground.keep,
      });
    },
  };
}
