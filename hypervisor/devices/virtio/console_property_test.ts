import fc from "fast-check";
import {
  checkConsoleCase,
  checkConsoleStream,
  consoleCase,
  consoleStreamCase,
} from "./testing/console_case.ts";

Deno.test("whatever driver and clients do, the console goes on and touches nothing else", () => {
  fc.assert(fc.property(consoleCase, checkConsoleCase), { numRuns: 100 });
});

Deno.test("in whatever portions, each side of a port gets what the other sent", () => {
  fc.assert(fc.property(consoleStreamCase, checkConsoleStream), { numRuns: 20 });
});
