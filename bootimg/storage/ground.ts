/**
 * What the host's storage stands on: Linux, or what a test has instead.
 *
 * @module
 */
import type { DiskFacts } from "./facts.ts";

/** A whole disk, as far as tables of partitions go. */
export interface DiskRef {
  name: string;
  path: string;
  /** In units of 512 bytes. */
  sectors: number;
}

/** Programs of Debian's that the image has. */
export type Tool = "mdadm" | "mkfs.xfs" | "blkid" | "smartctl";

export interface ToolOptions {
  /** Exit codes that are no failure besides 0. */
  codes?: readonly number[];
  /** How long it may take. */
  limitMs?: number;
}

export interface Ground {
  /** All disks with what is on them; `fresh` where nothing of before may be relied on. */
  look(options?: { fresh?: boolean }): Promise<DiskFacts[]>;
  /** Runs a program to its end and returns what it printed; throws with what it said if it fails. */
  run(tool: Tool, args: readonly string[], options?: ToolOptions): Promise<string>;
  /** Has Linux read a table that was just written; returns the path of the partition. */
  showPartition(disk: DiskRef, number: number): Promise<string>;
  /** Files below the array's folder in /sys. */
  readArrayFile(name: string): string | null;
  arrayFiles(): string[];
  writeArrayFile(name: string, text: string): void;
  /** Mounts an XFS where nobody looks, lets `act` put files there, and unmounts it. */
  withMounted(device: string, act: (folder: string) => void): Promise<void>;
}
