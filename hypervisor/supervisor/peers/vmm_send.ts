/**
 * The conversation in which a VMM sends its guest, as `vmm/control.ts` has it.
 *
 * @module
 */
import * as z from "zod";
import type { SendRequest } from "../../vmm/control.ts";
import { openConnection, type VmmConnection } from "./vmm_lines.ts";

const Count = z.number().min(0);
const Text = z.string().transform((text) => text.slice(0, 4096));

const Progress = z.object({
  phase: Text,
  doneBytes: Count,
  totalBytes: Count,
  rounds: Count,
  remainingBytes: Count,
  /** One that was started by an earlier release does not tell. */
  wireBytes: Count.optional(),
});
export type SendProgress = z.output<typeof Progress>;

/** What follows the answer. */
export const SendLine = z.union([
  z.object({ sending: Progress }),
  z.object({ held: z.literal(true) }),
  z.object({
    sent: z.string(),
    isHeard: z.boolean(),
    pauseMs: Count,
    rounds: Count,
    bytes: Count,
    wireBytes: Count.optional(),
    stoodStill: Text.optional(),
    /** Of memory that was to follow the guest: it is lost, and so much of it at least is nowhere else. */
    missingBytes: Count.optional(),
  }),
  z.object({ error: Text }),
]);
export type SendLine = z.output<typeof SendLine>;

const Answer = z.union([
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), error: Text }),
]);

export class VmmSend implements Disposable {
  readonly #connection: VmmConnection;

  private constructor(connection: VmmConnection) {
    this.#connection = connection;
  }

  /** Throws where the VMM does not begin. */
  static async begin(
    control: string,
    request: Omit<SendRequest, "op" | "hold">,
  ): Promise<VmmSend> {
    const connection = await openConnection(control, { op: "send", hold: true, ...request });
    try {
      const answer = await connection.next(Answer);
      if (answer === null) throw new Error("Cannot send the guest: its VMM hung up");
      if (!answer.ok) throw new Error(answer.error);
      return new VmmSend(connection);
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** What it says, until it has no more to say. */
  async *lines(): AsyncGenerator<SendLine> {
    for (;;) {
      const line = await this.#connection.next(SendLine);
      if (line === null) return;
      yield line;
    }
  }

  /** The guest that is held may be given away. */
  async go(): Promise<void> {
    await this.#connection.say({ op: "go" });
  }

  /** Closes the connection, which gives it up as long as that can be. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
