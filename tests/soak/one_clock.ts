/**
 * Keeps two PCs' clocks together, as hosts between which guests move have them: a guest that goes to a host
 * whose clock is ahead of the other's goes ahead with it.
 *
 * @module
 */
import { run } from "../../scripts/setup/command.ts";

/** How often the clock is asked for each look: the quickest answer tells best. */
const QUESTIONS = 10;
/** Nothing is changed for less. */
const MOST_OFF_MS = 100;
const LOOK_AGAIN_MS = 20_000;
const DIGITS = 13;

interface Place {
  hostname: string;
  port: number;
}

/** Answers each byte with this PC's time in milliseconds. */
export function tellTime(at: Place): void {
  const listener = Deno.listen(at);
  const answer = async (connection: Deno.TcpConn) => {
    using to = connection;
    const byte = new Uint8Array(1);
    while (await to.read(byte) !== null) {
      await to.write(new TextEncoder().encode(String(Date.now())));
    }
  };
  const serve = async () => {
    for await (const connection of listener) answer(connection).catch(() => {});
  };
  void serve();
}

/** Sets this PC's clock to the other's, now and whenever it has gone astray; tells by how much. */
export async function followTime(at: Place, tell: (text: string) => void): Promise<never> {
  // What goes by in `date` between looking at the clock and setting it.
  let lostMs = 0;
  for (;;) {
    try {
      using connection = await Deno.connect(at);
      connection.setNoDelay(true);
      for (;;) {
        const { offMs, withinMs } = await difference(connection);
        if (Math.abs(offMs) > MOST_OFF_MS + withinMs) {
          const addedMs = lostMs - offMs;
          await run(["date", "-s", `now ${(addedMs / 1000).toFixed(3)} seconds`]);
          const now = await difference(connection);
          lostMs = offMs + addedMs - now.offMs;
          tell(
            `the second PC's clock was ${offMs.toFixed(0)} ms off, is ${now.offMs.toFixed(0)} ms`,
          );
          if (Math.abs(now.offMs) > MOST_OFF_MS + now.withinMs) continue;
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    } catch {
      // It does not answer yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** By how much this PC's clock is ahead, and how sure that is. */
async function difference(to: Deno.TcpConn): Promise<{ offMs: number; withinMs: number }> {
  let best = { offMs: 0, withinMs: Infinity };
  for (let n = 0; n < QUESTIONS; n++) {
    const asked = Date.now();
    const began = performance.now();
    await to.write(Uint8Array.of(0));
    const theirs = await number(to);
    const withinMs = (performance.now() - began) / 2;
    if (withinMs < best.withinMs) best = { offMs: asked + withinMs - theirs, withinMs };
  }
  return best;
}

async function number(from: Deno.TcpConn): Promise<number> {
  const bytes = new Uint8Array(DIGITS);
  for (let at = 0; at < DIGITS;) {
    const count = await from.read(bytes.subarray(at));
    if (count === null) throw new Error("Cannot tell the time: the other PC hung up");
    at += count;
  }
  return Number(new TextDecoder().decode(bytes));
}
