/**
 * Who brings a guest from another VMM: from another host (`migrate/receiver.ts`), or from this one
 * (`upgrade/take.ts`).
 *
 * @module
 */
import type { ReceivingPhase } from "./control.ts";
import type { Guest } from "./guest.ts";

export interface ReceivedHere {
  readonly phase: ReceivingPhase;
  /** Names the hand-over, once somebody has said so. */
  readonly handOver: string | undefined;
  /** Somebody knows that the other VMM has given the guest away: it is this VMM's. */
  decide(handOver: string): void;
  /** The machine cannot be made; the other VMM is told. */
  refuse(error: Error): void;
  /** Says that the machine stands, and goes round until the guest is this VMM's. Throws where it will not be. */
  takeOver(guest: Guest): void;
  /** The guest has ended: nothing of it is to come any more. */
  ended?(): void;
  /** What the guest's serial port had sent, where that has come. */
  readonly serial?: Uint8Array<ArrayBuffer>;
}
