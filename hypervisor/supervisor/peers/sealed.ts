/**
 * Guests of which all is here, and another host has yet to say whose they are.
 *
 * @module
 */
import { delay } from "@std/async";
import { isLocked } from "../../sys/flock.ts";
import { askVmm } from "../lives/control_client.ts";
import type { MoveGround } from "../lives/move_ground.ts";
import type { VmmProcess } from "../lives/vmm_process.ts";
import { type Log, messageOf } from "../log.ts";
import { problem } from "../problem.ts";
import type { GuestRecord } from "../store/guests.ts";
import { statusOfVmm } from "./arrival.ts";

const LOOK_MS = 100;
/** How long a guest changes hands in any move, in milliseconds. */
const FRESH_MS = 3_000;
/** How long while there is a connection, which may be one to a host that is gone. */
const CONNECTED_MS = 60_000;
/** How long a VMM may take to run a guest that it was told to take over, in milliseconds. */
const TAKE_OVER_MS = 20_000;

/** A guest that is kept here, and is not this host's yet. */
export interface Sealed {
  move: string;
  peer: string;
  record: GuestRecord;
  /** Null where it is gone, and the guest with it as far as it ran. */
  process: VmmProcess | null;
  release: () => void;
  /** Since when, in milliseconds since 1970; null where an earlier supervisor kept it. */
  since: number | null;
}

/** Whether its VMM may be about to run it, or its host about to say whose it is. */
export function isHandingOver({ since }: Sealed, isConnected: boolean): boolean {
  return since !== null && Date.now() < since + (isConnected ? CONNECTED_MS : FRESH_MS);
}

/**
 * Has the VMM of a guest take it over; resolves once it runs it, or has ended: then the guest is off, with its
 * disks. Resolves, too, as soon as it is not kept any more.
 */
export async function takeOver(
  sealed: Sealed,
  { ground, isKept }: { ground: MoveGround; isKept: () => boolean },
): Promise<void> {
  const { process } = sealed;
  for (const deadline = Date.now() + TAKE_OVER_MS; isKept();) {
    if (process === null || process.hasEnded) return;
    const status = await statusOfVmm(process);
    if (status === null ? holdsDisks(sealed, ground) : status.state !== "waiting") return;
    const { phase, handOver } = status?.receiving ?? {};
    if (phase === "undecided" && handOver !== undefined) {
      await askVmm(process.controlSocket, { op: "take_over", handOver });
    }
    if (Date.now() > deadline) {
      throw new Error(`Cannot take the guest over yet: its VMM is ${phase ?? "not answering"}`);
    }
    await delay(LOOK_MS);
  }
}

/**
 * Whether the guest runs in its VMM, by what that says. One that does not answer may run it all the same, and
 * is known by the guest's disks. Throws a problem where there are none that could tell.
 */
export async function isRunning(sealed: Sealed, ground: MoveGround): Promise<boolean> {
  const { process, record } = sealed;
  if (process === null || process.hasEnded) return false;
  const status = await statusOfVmm(process);
  if (status !== null) return status.state !== "waiting";
  if (process.hasEnded) return false;
  const holds = holdsDisks(sealed, ground);
  if (holds !== null) return holds;
  throw problem(
    "busy",
    `Cannot say whether "${record.name}" runs: its VMM, process ${process.pid}, does not answer, and it ` +
      "has no disk that would tell. Try again, or end that process",
  );
}

/**
 * Whether the VMM has locked a disk: before it runs the guest, and not earlier. Null where it has none of its
 * own: one on a store is locked by the other host's VMM, too.
 */
function holdsDisks({ process, record }: Sealed, { disks }: MoveGround): boolean | null {
  const own = record.disks.filter(({ id, store }) =>
    store === null && process!.run.find(id) !== undefined
  );
  if (own.length === 0) return null;
  return own.some((disk) => isLocked(disks.path(record.id, disk)));
}

export function isUp(ground: MoveGround, guest: string): boolean {
  return ground.store.get(guest) !== null && ground.life(guest).isUp;
}

/** What forwards frames to a guest learns where it is now. */
export async function announce(process: VmmProcess, log: Log): Promise<void> {
  for (const [net, { kind }] of Object.entries(process.run.file().devices)) {
    if (kind !== "net") continue;
    await process.change(net, { announce: true }).catch((cause) =>
      log("info", "a guest's card was not announced", { net, error: messageOf(cause) })
    );
  }
}
