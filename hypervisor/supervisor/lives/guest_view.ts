/**
 * A guest as the API tells of it.
 *
 * @module
 */
import type { GuestState } from "../api/actions.ts";
import { cloudInitFacts } from "../cloud_init/settings.ts";
import type { AgentFacts, Disk, Guest, Net } from "../api/schemas.ts";
import type { DiskRecord, GuestRecord, NetRecord } from "../store/guests.ts";
import { VERSION } from "../version.ts";
import type { Run } from "./run.ts";
import { savedAt } from "./saves.ts";

/** How a guest is at the moment; what is of a run counts only while it is up. */
export interface Moment {
  isUp: boolean;
  state: GuestState;
  run: Run | null;
  pausedFor: string | null;
  resumesFrom: string | null;
  agentFacts: AgentFacts | null;
  startedAt: number | null;
  vmmVersion: string | null;
}

export function guestView(record: GuestRecord, moment: Moment): Guest {
  const { isUp, state, run, startedAt, vmmVersion } = moment;
  const saved = savedAt(moment.resumesFrom);
  const standing = (of: DiskRecord | NetRecord) => ({
    attached: run?.attachment(of.id) ?? null,
    restartNeeded: run?.isPending(of) ?? false,
  });
  return {
    ...record,
    disks: record.disks.map((disk): Disk => {
      const { file: _, serial: __, ...told } = disk;
      return { ...told, ...standing(disk) };
    }),
    nets: record.nets.map((net): Net => ({ ...net, ...standing(net) })),
    cloudInit: cloudInitFacts(record),
    freePorts: run?.freePorts ?? null,
    pending: run?.pending(record) ?? [],
    state,
    error: state === "failed" ? record.error : null,
    pausedFor: isUp ? moment.pausedFor : null,
    resumesFrom: saved === null ? moment.resumesFrom : null,
    savedAt: saved,
    agentFacts: isUp ? moment.agentFacts : null,
    startedAt: isUp && startedAt !== null ? new Date(startedAt).toISOString() : null,
    vmmVersion: isUp ? vmmVersion : null,
    upgradeAvailable: isUp && (vmmVersion ?? VERSION) !== VERSION,
  };
}
