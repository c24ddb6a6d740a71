/**
 * Room for disks, where they lie.
 *
 * @module
 */
import { dirname } from "@std/path";
import { freeBytes, RESERVED_BYTES } from "../host.ts";
import { type ApiProblem, problem } from "../problem.ts";

/** Throws as the kernel would, where a copy of so many bytes would leave too little room beside it. */
export async function refuseFull(path: string, bytes: number): Promise<void> {
  if (await freeBytes(dirname(path)) < bytes + RESERVED_BYTES) throw new NoRoom();
}

class NoRoom extends Error {}

/** Whether it is why something was not written. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof NoRoom || /os error 28|ENOSPC/.test(String(error));
}

/** The problem that it is, for a disk of the guest called `name`. */
export function noRoom(name: string, store: string | null): ApiProblem {
  const where = store === null ? "the data partition" : `the store "${store}"`;
  return problem("disk_full", `Cannot create a disk of "${name}": ${where} is full`);
}
