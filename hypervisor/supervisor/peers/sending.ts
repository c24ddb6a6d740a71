/**
 * Pieces of files on their way to another host: as fast as is allowed, and without losing touch with it.
 *
 * @module
 */
import type { PeerChannel } from "./channel.ts";
import type { Piece } from "./disk_files.ts";
import type { Pace } from "./pace.ts";
import type { Touch } from "./touch.ts";

export interface SendingWay {
  channel: PeerChannel;
  touch: Touch;
  pace: Pace;
  signal: AbortSignal;
}

/** Sends a piece of the file of this number. */
export async function sendPiece(
  { channel, touch, pace, signal }: SendingWay,
  number: number,
  { position, length, bytes }: Piece,
): Promise<void> {
  signal.throwIfAborted();
  if (bytes === null) await channel.sayZeros(number, { position, length });
  else {
    await pace.take(length);
    await channel.sayData(number, position, bytes);
  }
  touch.said();
}
