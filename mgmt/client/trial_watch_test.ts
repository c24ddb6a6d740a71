import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async";
import { type HostNetwork, Network } from "../../hypervisor/supervisor/api/schemas.ts";
import { type TrialWatch, watchTrial } from "./trial_watch.ts";

const NETWORK = Network.parse({});
const OVER: HostNetwork = { network: NETWORK, trial: null, cards: [], problem: "It was undone" };
const TRIED: HostNetwork = { ...OVER, trial: { network: NETWORK, secondsLeft: 60 }, problem: null };

/** Watches for a while; returns how often the host was asked, and what was told. */
async function watched(ask: TrialWatch["ask"], options: Partial<TrialWatch> = {}) {
  const seen = { asked: 0, told: [] as HostNetwork[], left: [] as number[] };
  const stop = watchTrial({
    ...{ secondsLeft: 60, tickMs: 5, askMs: 20, limitMs: 60_000 },
    onLeft: (seconds) => seen.left.push(seconds),
    onTold: (network) => seen.told.push(network),
    ...options,
    ask: (signal) => {
      seen.asked++;
      return ask(signal);
    },
  });
  await delay(300);
  stop();
  const { asked } = seen;
  await delay(50);
  assertEquals(seen.asked, asked, "nobody is asked after the end");
  return seen;
}

/** An answer that never comes, unless somebody gives it up. */
function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

Deno.test("the host is asked now and then whether the change is still tried", async () => {
  const { asked, told, left } = await watched(() => Promise.resolve(TRIED));
  assert(asked > 1 && asked <= 15, `asked ${asked} times in 15 times its pause`);
  assertEquals([told, left[0]], [[], 60]);
});

Deno.test("a change that was undone at once is told, once", async () => {
  const { asked, told } = await watched(() => Promise.resolve(OVER));
  assertEquals([asked, told], [1, [OVER]]);
});

Deno.test("a host is not asked again while its answer is waited for", async () => {
  const { asked, told, left } = await watched(never, { secondsLeft: 0 });
  assertEquals([asked, told, left[0]], [1, [], 0]);
});

Deno.test("a host that is not reached is asked again, until it answers", async () => {
  let tries = 0;
  const { told } = await watched(
    (signal) => ++tries < 3 ? never(signal) : Promise.resolve(OVER),
    { secondsLeft: 0, limitMs: 10 },
  );
  assertEquals([tries, told], [3, [OVER]]);
});
