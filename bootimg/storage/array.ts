/**
 * The state of a mirror, as Linux's md shows it under /sys/block/md0/md.
 *
 * @module
 */
import type { Pool, PoolMember } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { SECTOR_BYTES } from "../disk/gpt.ts";

/** The one array that this host runs. */
export const ARRAY = "md0";
export const ARRAY_DEVICE = `/dev/${ARRAY}`;
export const ARRAY_FOLDER = `/sys/block/${ARRAY}/md`;

export interface ArrayMember {
  /** "sda2". */
  device: string;
  state: "in-sync" | "rebuilding" | "failed" | "spare";
}

export interface ArrayState {
  /** How many disks it should have. */
  wanted: number;
  members: ArrayMember[];
  /** What each member has room for, in bytes. */
  bytes: number;
  sync: Pool["sync"];
  /** Of the last comparison that went through. */
  mismatchedSectors: number;
}

/** Reads files below the array's folder, null where there is none, and names what lies there. */
export interface ArrayFiles {
  read(name: string): string | null;
  names(): string[];
}

const KINDS = { recover: "rebuild", resync: "rebuild", check: "scrub", repair: "repair" } as const;

/** The state; null where there is no such array. */
export function readArray({ read, names }: ArrayFiles): ArrayState | null {
  const wanted = wholeNumber(read("raid_disks"));
  if (wanted === null) return null;
  const action = read("sync_action") ?? "idle";
  const isBusy = Object.hasOwn(KINDS, action);
  const members = names().filter((it) => it.startsWith("dev-")).map((folder): ArrayMember => {
    const state = (read(`${folder}/state`) ?? "").split(",");
    const slot = read(`${folder}/slot`);
    return {
      device: folder.slice("dev-".length),
      state: state.includes("faulty")
        ? "failed"
        : state.includes("in_sync")
        ? "in-sync"
        : slot !== null && slot !== "none"
        ? "rebuilding"
        : "spare",
    };
  });
  const [doneSectors, totalSectors] = (read("sync_completed") ?? "").split("/")
    .map((it) => wholeNumber(it.trim()) ?? 0);
  const bytesPerSecond = (wholeNumber(read("sync_speed")) ?? 0) * 1024;
  const doneBytes = (doneSectors ?? 0) * SECTOR_BYTES;
  const totalBytes = (totalSectors ?? 0) * SECTOR_BYTES;
  return {
    wanted,
    members,
    bytes: (wholeNumber(read("component_size")) ?? 0) * 1024,
    sync: isBusy
      ? {
        kind: KINDS[action as keyof typeof KINDS],
        doneBytes,
        totalBytes,
        bytesPerSecond,
        secondsLeft: bytesPerSecond > 0 && totalBytes > 0
          ? Math.ceil(Math.max(0, totalBytes - doneBytes) / bytesPerSecond)
          : null,
      }
      : null,
    mismatchedSectors: wholeNumber(read("mismatch_cnt")) ?? 0,
  };
}

/** The members as the API tells them; `diskOf` knows which disk a partition is on. */
export function tellMembers(
  array: ArrayState,
  diskOf: (device: string) => string | null,
): PoolMember[] {
  const own = array.members.filter(({ state }) => state !== "spare");
  const failed = own.filter(({ state }) => state === "failed");
  const filled = own.length - failed.length;
  const told = own.map(({ device, state }): PoolMember => ({
    disk: diskOf(device),
    state: state as PoolMember["state"],
  }));
  // A disk that failed is still there until it is taken out: it holds the place that it left.
  for (let i = filled + failed.length; i < array.wanted; i++) {
    told.push({ disk: null, state: "missing" });
  }
  return told;
}

/** Whether all that there should be is there and in step. */
export function isWhole({ wanted, members }: ArrayState): boolean {
  return members.filter(({ state }) => state === "in-sync").length >= wanted;
}

/** What `mdadm --examine --export` tells of a member. */
export interface MemberFacts {
  /** The array's. */
  uuid: string;
  level: string;
  wanted: number;
}

/** Reads what mdadm printed; null where it tells of no member. */
export function parseMember(text: string): MemberFacts | null {
  const fields = new Map<string, string>();
  for (const line of text.slice(0, 16 * 1024).split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1).trim());
  }
  const uuid = fields.get("MD_UUID") ?? "";
  const wanted = wholeNumber(fields.get("MD_DEVICES") ?? null);
  if (!/^[0-9a-f]{8}(:[0-9a-f]{8}){3}$/.test(uuid) || wanted === null) return null;
  return { uuid, level: fields.get("MD_LEVEL") ?? "", wanted };
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text.trim()) ? Number(text.trim()) : null;
}
