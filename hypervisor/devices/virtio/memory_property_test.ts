import fc from "fast-check";
import { balloonCase, checkBalloonCase, checkMemCase, memCase } from "./testing/memory_case.ts";

Deno.test("whatever a driver puts into its balloon, only the pages that it names are given back", () => {
  fc.assert(fc.property(balloonCase, checkBalloonCase), { numRuns: 60 });
});

Deno.test("whatever a driver asks of the memory device, what was acknowledged is what there is", () => {
  fc.assert(fc.property(memCase, checkMemCase), { numRuns: 100 });
});
