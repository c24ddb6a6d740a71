/**
 * What the lab is told to measure.
 *
 * @module
 */
import type { GuestFiles } from "./guest_files.ts";
import type { Recorder } from "./recorder.ts";
import type { BenchName } from "./rows.ts";

/** Goes into the lab as JSON. */
export interface BenchJob {
  chosen: BenchName[];
  vmm: string;
  /** A folder for kernels that our VMM has unpacked. */
  kernelCache: string;
  files: GuestFiles;
  /** Where the measuring tools are. */
  tools: string;
  rounds: number;
  /** Of each run that goes by time. */
  seconds: number;
  /** How many guests the density benchmark starts. */
  guests: number;
  /** A block device that may be overwritten, or a folder in which there is room. */
  scratch: string;
  result: string;
  /** Whether this is the lab, where all may be set as it is needed. */
  lab: boolean;
  /** Why guests with Linux's kernel cannot be measured; absent where they can. */
  noLinux?: string;
  /** What it runs on, for the result. */
  machine: string;
  commit: string;
}

/** A benchmark: it measures, and records. */
export type Bench = (job: BenchJob, recorder: Recorder) => Promise<void>;

/** Waits. */
export function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000));
}
