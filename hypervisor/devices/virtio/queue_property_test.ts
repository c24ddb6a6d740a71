import fc from "fast-check";
import { checkNoiseCase, checkQueueCase, noiseCase, queueCase } from "./testing/queue_case.ts";

Deno.test("valid chains are served as written, malformed ones returned, each head once", () => {
  fc.assert(fc.property(queueCase, checkQueueCase), { numRuns: 300 });
});

Deno.test("rings full of noise cause no exception and change no byte of the guest's", () => {
  fc.assert(fc.property(noiseCase, checkNoiseCase), { numRuns: 500 });
});
