/**
 * Setting a guest aside that another host has, too: it holds still, and has a name that says so.
 *
 * @module
 */
import { delay } from "@std/async";
import type { GuestRecord } from "../store/guests.ts";
import type { GuestLife } from "./guest_life.ts";

const LONGEST_NAME = 63;
const SUFFIX = "-declared-lost";
const LOOK_MS = 100;
/** Who does not hold still by then is ended. */
const STILL_MS = 20_000;

export interface AsideGround {
  /** Whether the guest is there still. */
  isThere(): boolean;
  hasName(name: string): boolean;
  keep(life: GuestLife, record: GuestRecord): unknown;
}

/**
 * Has a guest hold still, for good, and be called so then; also one that was set aside already. One with a disk
 * on a store is ended: the other host needs what its VMM has locked.
 */
export async function setAside(
  life: GuestLife,
  { isThere, hasName, keep }: AsideGround,
): Promise<void> {
  await holdStill(life);
  const { name } = life.record;
  if (/-declared-lost(-[0-9]+)?$/.test(name)) return;
  // Somebody may have ended and deleted it meanwhile.
  if (isThere()) keep(life, { ...life.record, name: asideName(name, hasName), autostart: false });
}

async function holdStill(life: GuestLife): Promise<void> {
  if (life.record.disks.some(({ store }) => store !== null)) {
    await life.end();
    return await life.over;
  }
  for (const deadline = Date.now() + STILL_MS; life.isUp && life.phase !== "paused";) {
    if (Date.now() > deadline) {
      // Whatever it is at, two of one guest must not run.
      await life.end();
      return await life.over;
    }
    // It may be on its way up or down.
    await life.process?.pause().catch(() => {});
    await delay(LOOK_MS);
  }
}

/** A name that nobody has, which tells what became of the guest. */
export function asideName(name: string, hasName: (name: string) => boolean): string {
  for (let n = 1;; n++) {
    const end = n === 1 ? SUFFIX : `${SUFFIX}-${n}`;
    const found = name.slice(0, LONGEST_NAME - end.length).replace(/-+$/, "") + end;
    if (!hasName(found)) return found;
  }
}
