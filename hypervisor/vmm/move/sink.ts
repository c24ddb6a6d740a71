/**
 * Where a guest's memory is copied to.
 *
 * @module
 */
import type { DirtyPages } from "../../machine/dirty_pages.ts";
import type { PieceVisitor } from "./ram_image.ts";

/** Takes pieces of memory. A later piece replaces what an earlier one said of the same pages. */
export interface RamSink extends PieceVisitor {
  /** The most bytes of data that are passed on at once. */
  readonly mostBytes: number;
  /** Bytes of data that were passed on; of zeros nothing is. */
  readonly sentBytes: number;
  /** Bytes that this took, with what was said of them: fewer where they were packed. */
  readonly wireBytes: number;
  /** A pass over memory begins; so much is to come by what is known. */
  round(number: number, bytes: number): void;
  /** Returns once all that it was told is where it is to go. */
  flush(): void;
  /** Where a sink can pass that on: these pages are not as they were told, and follow in another way. */
  follow?(pages: DirtyPages): void;
  /** All has been told, and the guest's memory is no longer looked at. */
  end(): void;
  /** After the end, when the guest may run again: what makes the copy last. */
  settle(): void;
  /** Frees what it has, however it ended; descriptors stay open. */
  close(): void;
}
