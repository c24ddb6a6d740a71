import fc from "fast-check";
import { blockCase, checkBlockCase } from "./testing/block_case.ts";

Deno.test("requests, good and bad, are answered as the standard says (sync)", () => {
  fc.assert(fc.property(blockCase, (one) => checkBlockCase(one, "sync")), { numRuns: 120 });
});

Deno.test("requests, good and bad, are answered as the standard says (io_uring)", () => {
  fc.assert(fc.property(blockCase, (one) => checkBlockCase(one, "io_uring")), { numRuns: 100 });
});
