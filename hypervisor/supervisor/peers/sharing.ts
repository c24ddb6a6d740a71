/**
 * Whether copies of files can share their blocks where guests' disks lie.
 *
 * @module
 */
import { join } from "@std/path";
import { close, O_CREAT, O_EXCL, O_RDWR, open } from "../../sys/files.ts";
import { writeAt } from "../../sys/positioned_io.ts";
import type { GuestDisks } from "../lives/disks.ts";

/** Has an open file share another's blocks; false where that cannot be. */
export type Share = (target: number, source: number) => boolean;

/** Tries it with small files, of which nothing is left. */
export function sharesBlocks(disks: Pick<GuestDisks, "scratch">, share: Share): boolean {
  const { path, drop } = disks.scratch();
  const made: number[] = [];
  const make = (name: string): number => {
    const fd = open(join(path, name), O_RDWR | O_CREAT | O_EXCL);
    made.push(fd);
    return fd;
  };
  try {
    const source = make("source");
    writeAt(source, new Uint8Array(4096).fill(1), 0);
    return share(make("target"), source);
  } finally {
    made.forEach(close);
    drop();
  }
}
