import { assert } from "@std/assert";
import { PackChoice } from "./pack_choice.ts";

const MB = 1e6;

interface Way {
  /** What the connection takes, bytes a millisecond; what is waited for beyond that is on purpose. */
  link: number;
  /** What is packed, and what is sent as it is, bytes of memory a millisecond of this thread's. */
  packs: number;
  sends: number;
  factor: number;
  /** What lies between the two sides has room for. */
  room?: number;
}

/** Sends for so long over a connection that takes what it takes; what part of memory went packed. */
function sendFor(seconds: number, choice: PackChoice, clock: { now: number }, way: Way) {
  const { link, packs, sends, factor, room = 4 * MB } = way;
  const until = clock.now + seconds * 1000;
  let [queued, packed, all] = [0, 0, 0];
  choice.begin();
  while (clock.now < until) {
    const isPacked = choice.packs;
    const memory = isPacked ? 2 ** 18 : 2 ** 20;
    const wire = isPacked ? memory / factor : memory;
    const busy = memory / (isPacked ? packs : sends);
    clock.now += busy;
    queued = Math.max(0, queued - link * busy) + wire;
    if (queued > room) {
      const ms = (queued - room) / link;
      clock.now += ms;
      queued = room;
      choice.waited(ms);
    }
    choice.sent(memory, wire);
    all += memory;
    if (isPacked) packed += memory;
  }
  return { share: packed / all, bytesPerSecond: all / seconds };
}

/** A processor that packs 220 MB/s, to 1 in 2.4, and sends 1.2 GB/s as it is. */
const PACKS = { packs: 220_000, sends: 1_200_000, factor: 2.4 };
const slow = { ...PACKS, link: 118_000 };
const fast = { ...PACKS, link: 1_180_000 };

function started() {
  const clock = { now: 0 };
  return { clock, choice: new PackChoice(() => clock.now) };
}

Deno.test("what the connection holds up is packed, and goes faster", () => {
  const { clock, choice } = started();
  const { share, bytesPerSecond } = sendFor(20, choice, clock, slow);
  assert(share > 0.9, `${share}`);
  assert(bytesPerSecond > 1.6 * 118 * MB, `${bytesPerSecond}`);
});

Deno.test("what the connection takes as fast as it comes is not even tried", () => {
  const { clock, choice } = started();
  assert(sendFor(20, choice, clock, { ...PACKS, link: 2_000_000 }).share === 0);
});

Deno.test("where packing holds up more than the connection, it is given up but for a try now and then", () => {
  const { clock, choice } = started();
  const way = { ...PACKS, link: 400_000 };
  const { share, bytesPerSecond } = sendFor(60, choice, clock, way);
  assert(share > 0 && share < 0.05, `${share}`);
  assert(bytesPerSecond > 0.95 * 400 * MB, `${bytesPerSecond}`);
  // And so it is with pages that do not shrink, on a network that is as slow as that.
  const other = started();
  const random = { ...slow, packs: 600_000, factor: 1 };
  assert(sendFor(60, other.choice, other.clock, random).bytesPerSecond > 0.97 * 118 * MB);
});

Deno.test("a connection that becomes another is noticed", () => {
  const { clock, choice } = started();
  sendFor(10, choice, clock, slow);
  assert(choice.packs);
  const { share } = sendFor(60, choice, clock, fast);
  assert(share < 0.1, `${share}`);
  const again = sendFor(60, choice, clock, slow);
  assert(again.share > 0.6, `${again.share}`);
});

Deno.test("what is held back on purpose counts as the connection", () => {
  const { clock, choice } = started();
  const limit = { ...PACKS, link: 10_000, room: 0 };
  assert(sendFor(20, choice, clock, limit).bytesPerSecond > 2 * 10 * MB);
});
