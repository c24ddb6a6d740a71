import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { checkRateLimit, type RateLimit, RateLimiter } from "./rate_limit.ts";
import { testMemory } from "./testing/driver.ts";
import { TestHost } from "./testing/host.ts";

/** A clock that the test moves. */
function limiter(limit: RateLimit) {
  const clock = { ms: 1000 };
  return { clock, it: new RateLimiter(limit, () => clock.ms) };
}

/** How many operations of `bytes` pass now. */
function pass(it: RateLimiter, bytes: number, most = 1e6): number {
  let n = 0;
  while (n < most && it.open) {
    it.spend(bytes);
    n++;
  }
  return n;
}

Deno.test("without a limit everything passes", () => {
  assertEquals(pass(limiter({}).it, 2 ** 40, 1000), 1000);
});

Deno.test("a burst passes at once, and then the rate", () => {
  const { clock, it } = limiter({ operationsPerSecond: 100, operationsBurst: 20 });
  assertEquals(pass(it, 0), 20);
  clock.ms += 10;
  assertEquals(pass(it, 0), 1);
  clock.ms += 100;
  assertEquals(pass(it, 0), 10);
  clock.ms += 3_600_000;
  assertEquals(pass(it, 0), 20);
});

Deno.test("no more than a burst passes at once, however long nothing did", () => {
  const { clock, it } = limiter({ operationsPerSecond: 100, operationsBurst: 20 });
  clock.ms += 3_600_000;
  assertEquals(pass(it, 0), 20);
  clock.ms += 100;
  // What is left over counts towards the next burst.
  assertEquals(pass(it, 0, 3), 3);
  clock.ms += 3_600_000;
  assertEquals(pass(it, 0), 20);
});

Deno.test("a request larger than the burst passes, and its debt is paid before the next", () => {
  const { clock, it } = limiter({ bytesPerSecond: 1000, bytesBurst: 100 });
  assertEquals(pass(it, 1100), 1);
  clock.ms += 999;
  assertEquals(pass(it, 1), 0);
  clock.ms += 2;
  assert(it.open);
});

Deno.test("operations and bytes are both heeded", () => {
  const both = { operationsPerSecond: 10, operationsBurst: 5, bytesPerSecond: 1e6 };
  assertEquals(pass(limiter({ ...both, bytesBurst: 1000 }).it, 500), 2);
  assertEquals(pass(limiter({ ...both, bytesBurst: 1e6 }).it, 500), 5);
});

Deno.test("in the long run, what passes is the rate, whatever the sizes and pauses", () => {
  const limits = fc.record({
    rate: fc.integer({ min: 100, max: 1e9 }),
    burst: fc.integer({ min: 1, max: 1e6 }),
    sizes: fc.array(fc.integer({ min: 1, max: 65536 }), { minLength: 1, maxLength: 8 }),
    steps: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 5, maxLength: 50 }),
  });
  fc.assert(fc.property(limits, ({ rate, burst, sizes, steps }) => {
    const { clock, it } = limiter({ bytesPerSecond: rate, bytesBurst: burst });
    const start = clock.ms;
    let sent = 0;
    for (const step of steps) {
      clock.ms += step;
      for (let i = 0; i < 100 && it.open; i++) {
        it.spend(sizes[i % sizes.length]);
        sent += sizes[i % sizes.length];
      }
      const most = burst + rate * (clock.ms - start) / 1000 + 65536;
      assert(sent <= most + 1, `${sent} bytes passed where ${most} may`);
    }
  }));
});

Deno.test("who waits is called once there is something again, and once", () => {
  using memory = testMemory(1 << 16);
  using host = new TestHost(memory, { queues: 1 });
  const { clock, it } = limiter({ operationsPerSecond: 100, operationsBurst: 1 });
  assertEquals(pass(it, 0), 1);
  let calls = 0;
  for (let i = 0; i < 3; i++) it.waitOn(host, () => calls++);
  assertEquals([host.timers, it.waits], [1, 1]);
  const elapse = (ms: number) => {
    clock.ms += ms;
    host.elapse(ms);
  };
  elapse(9);
  assertEquals(calls, 0);
  elapse(1);
  assertEquals(calls, 1);
  assertEquals(pass(it, 0), 1);
  it.waitOn(host, () => calls++);
  it.cancel();
  elapse(1000);
  assertEquals([calls, host.timers], [1, 0]);
});

Deno.test("another limit is in force at once", () => {
  const { it } = limiter({ operationsPerSecond: 1, operationsBurst: 1 });
  assertEquals(pass(it, 0), 1);
  it.limit = { operationsPerSecond: 50 };
  assertEquals(pass(it, 0), 5);
  it.limit = {};
  assertEquals(pass(it, 1e9, 10), 10);
});

Deno.test("a limit that cannot be is refused with the reason", () => {
  assertEquals(checkRateLimit(undefined, "the limit"), {});
  assertEquals(checkRateLimit(null, "the limit"), {});
  const good = { operationsPerSecond: 1, bytesPerSecond: 1e12, bytesBurst: 5 };
  assertEquals(checkRateLimit(good, "the limit"), good);
  const refused = (value: unknown, says: string) =>
    assertThrows(() => checkRateLimit(value, "the limit"), Error, says);
  for (const wrong of [0, -1, 1.5, NaN, 1e13, "1", null]) {
    refused({ bytesPerSecond: wrong }, `the limit bytesPerSecond ${wrong}: it must be a whole`);
  }
  refused([], "it must be an object");
  refused({ speed: 1 }, "known fields are operationsPerSecond");
  refused({ bytesBurst: 1 }, "bytesBurst without bytesPerSecond");
});

Deno.test("whatever is checked is a limit or an error that says so", () => {
  fc.assert(fc.property(fc.anything(), (value) => {
    try {
      new RateLimiter(checkRateLimit(value, "the limit"));
    } catch (error) {
      assert(error instanceof TypeError || error instanceof RangeError, String(error));
      assert(error.message.startsWith("Cannot use the limit "), error.message);
    }
  }));
});
