import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Pacing } from "./pacing.ts";

Deno.test("what goes stays within the limit, and comes near it", () => {
  const steps = fc.array(fc.record({ bytes: fc.nat(2_000_000), ms: fc.nat(50) }), { minLength: 1 });
  fc.assert(fc.property(steps, fc.integer({ min: 1000, max: 10 ** 9 }), (steps, limit) => {
    let now = 0;
    let sent = 0;
    const pacing = new Pacing(() => now);
    for (const { bytes, ms } of steps) {
      now += ms;
      sent += bytes;
      now += pacing.wait(sent, limit);
      // A burst, and the part of a millisecond by which each wait is too long.
      assert(sent <= limit * (now / 1000 + 0.1) + 1, `${sent} bytes by ${now} ms`);
    }
    const least = sent / limit * 1000 - 100;
    assert(now >= least - 1);
    const own = steps.reduce((sum, { ms }) => sum + ms, 0);
    assert(now <= own + sent / limit * 1000 + steps.length, `${now} ms for ${sent} bytes`);
  }));
});

Deno.test("without a limit nothing waits, and a new one takes effect at once", () => {
  let now = 0;
  const pacing = new Pacing(() => now);
  assertEquals(pacing.wait(10 ** 12, 0), 0);
  assertEquals(pacing.wait(10 ** 12 + 1000, 1000), 1000);
  now += 1000;
  assertEquals(pacing.wait(10 ** 12 + 1000, 0), 0);
});
