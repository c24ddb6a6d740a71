/**
 * The way of a guest's memory: bytes between a VMM's socket and another host, both ways, until either
 * side has no more.
 *
 * @module
 */
import type { PeerChannel } from "./channel.ts";

const BUFFER_BYTES = 256 * 1024;

export interface PipeOptions {
  /** Called before bytes go to the other host, and waited for. */
  pace?: (bytes: number) => Promise<void>;
}

/** Resolves when the connection is over, and both ends are closed. */
export async function pipe(
  vmm: Deno.Conn,
  channel: PeerChannel,
  options: PipeOptions = {},
): Promise<void> {
  const close = () => {
    try {
      vmm.close();
    } catch {
      // The other direction came first.
    }
  };
  const out = async () => {
    const buffer = new Uint8Array(BUFFER_BYTES);
    for (;;) {
      const count = await vmm.read(buffer);
      if (count === null) break;
      await options.pace?.(count);
      await channel.write(buffer.subarray(0, count));
    }
    // All that the VMM said, its last word too, goes before the connection does.
    await channel.end();
  };
  const back = async () => {
    const buffer = new Uint8Array(BUFFER_BYTES);
    for (;;) {
      const count = await channel.read(buffer);
      if (count === 0) break;
      for (let at = 0; at < count;) at += await vmm.write(buffer.subarray(at, count));
    }
  };
  // However one of them ends, the other has nobody to speak to.
  await Promise.allSettled([
    out().finally(() => channel.close()).finally(close),
    back().finally(close).finally(() => channel.close()),
  ]);
}
