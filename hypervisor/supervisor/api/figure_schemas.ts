/**
 * What devices of a running guest count.
 *
 * @module
 */
import * as z from "zod";
import { Id } from "./names.ts";

const Count = z.number().min(0);

/** Of a disk, since it is in the guest. */
export const DiskFigures = z.strictObject({
  reads: Count,
  readBytes: Count,
  writes: Count,
  writtenBytes: Count,
  /** Requests that the host could not carry out. */
  errors: Count,
});

/** Of a network card, since its tap was made. */
export const NetFigures = z.strictObject({
  receivedFrames: Count,
  receivedBytes: Count,
  sentFrames: Count,
  sentBytes: Count,
  /** Frames for the guest that it did not take. */
  dropped: Count,
});

/** Of memory, in MiB; null where the guest does not tell. */
export const MemoryFigures = z.strictObject({
  /** What it has given back to the host. */
  balloonMiB: Count.nullable(),
  /** What was added to it and it uses. */
  addedMiB: Count.nullable(),
  /** What its kernel manages. */
  totalMiB: Count.nullable(),
  /** What its kernel could give to programs. */
  availableMiB: Count.nullable(),
});

/** One look at a running guest; rates are what two of them differ by. */
export const Figures = z.strictObject({
  /** The guest's. */
  id: Id,
  /** Milliseconds since the epoch, by the host's clock. */
  at: z.number(),
  /** By their ids. */
  disks: z.record(z.string(), DiskFigures),
  nets: z.record(z.string(), NetFigures),
  memory: MemoryFigures,
});

export type DiskFigures = z.output<typeof DiskFigures>;
export type NetFigures = z.output<typeof NetFigures>;
export type MemoryFigures = z.output<typeof MemoryFigures>;
export type Figures = z.output<typeof Figures>;
