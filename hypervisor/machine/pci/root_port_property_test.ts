import fc from "fast-check";
import { checkRootPortCase, rootPortCase } from "./testing/root_port_case.ts";

Deno.test("whatever a guest writes to its ports while cards come and go, they hold together", () => {
  fc.assert(fc.property(rootPortCase, checkRootPortCase), { numRuns: 150 });
});
