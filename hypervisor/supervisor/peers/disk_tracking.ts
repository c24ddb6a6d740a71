/**
 * What a running guest writes to its disks, told by its VMM.
 *
 * @module
 */
import * as z from "zod";
import type { Request } from "../../vmm/control.ts";
import { openConnection } from "./vmm_lines.ts";

/** In bytes. */
export interface Changed {
  position: number;
  length: number;
}

export interface DiskTracking {
  /** From now on all that is written is told. */
  start(): Promise<void>;
  /** What was written to a disk since it was last asked, by the VMM's name for it. */
  changes(device: string): Promise<Changed[]>;
  stop(): Promise<void>;
}

/** More than a VMM tells at once. */
const MOST_RANGES = 100_000;
const Offset = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const Changes = z.object({
  ranges: z.array(z.tuple([Offset, Offset])).max(MOST_RANGES),
  leftBytes: z.number().min(0),
});
const Answer = z.union([
  z.object({ ok: z.literal(true), changes: Changes.optional() }),
  z.object({ ok: z.literal(false), error: z.string() }),
]);

/** Asks the VMM on its control socket. */
export class VmmDiskTracking implements DiskTracking {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async start(): Promise<void> {
    await this.#ask({ op: "track_disks", on: true });
  }

  async changes(device: string): Promise<Changed[]> {
    const found: Changed[] = [];
    for (let more = true; more;) {
      const { changes } = await this.#ask({ op: "disk_changes", device });
      if (changes === undefined) {
        throw new SyntaxError("Cannot read a VMM's answer: it does not tell what was written");
      }
      for (const [position, length] of changes.ranges) found.push({ position, length });
      // Without an end, one that always has more would be asked for ever.
      more = changes.leftBytes > 0 && found.length < MOST_RANGES * 10;
    }
    return found;
  }

  async stop(): Promise<void> {
    await this.#ask({ op: "track_disks", on: false });
  }

  async #ask(request: Record<string, unknown> & { op: string }) {
    using connection = await openConnection(this.#socket, request as unknown as Request);
    const answer = await connection.next(Answer);
    if (answer === null) throw new Error(`Cannot ask the VMM for "${request.op}": it hung up`);
    if (!answer.ok) throw new Error(answer.error);
    return answer;
  }
}
