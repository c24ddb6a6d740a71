import fc from "fast-check";
import {
  checkVsockCase,
  checkVsockStream,
  vsockCase,
  vsockStreamCase,
} from "./testing/vsock_case.ts";

Deno.test("whatever guest and programs do, vsock goes on and touches nothing else", () => {
  fc.assert(fc.property(vsockCase, checkVsockCase), { numRuns: 80 });
});

Deno.test("in whatever portions, each end of a stream gets what the other sent", () => {
  fc.assert(fc.property(vsockStreamCase, checkVsockStream), { numRuns: 20 });
});
