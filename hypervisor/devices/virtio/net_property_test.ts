import fc from "fast-check";
import { checkNetCase, netCase } from "./testing/net_case.ts";

Deno.test("whatever a driver does to its card, frames are whole and only buffers are written", () => {
  fc.assert(fc.property(netCase, checkNetCase), { numRuns: 100 });
});
