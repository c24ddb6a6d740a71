import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseOptions } from "./options.ts";

const needed = ["--api", "/run/api.sock", "--tls-dir=/data", "--assets=/app"];

Deno.test("what is left out takes its usual value", () => {
  assertEquals(parseOptions(needed), {
    api: "/run/api.sock",
    tlsDir: "/data",
    assets: "/app",
    port: 443,
    httpPort: 80,
    hostname: "::",
  });
});

Deno.test("a wrong option is named", () => {
  assertThrows(() => parseOptions(needed.slice(2)), TypeError, "--api is missing");
  assertThrows(() => parseOptions([...needed, "--port=70000"]), TypeError, '--port "70000"');
  assertThrows(() => parseOptions([...needed, "--prot=1"]), TypeError, "--prot");
  assertThrows(() => parseOptions([...needed, "extra"]), TypeError, "extra");
});

Deno.test("any command line is either options with valid ports or a TypeError", () => {
  const word = fc.oneof(fc.constantFrom("--port", "--http-port", "--api", "--"), fc.string());
  fc.assert(fc.property(fc.array(word), (args) => {
    try {
      const { port, httpPort } = parseOptions([...needed, ...args]);
      for (const n of [port, httpPort]) if (!(n >= 0 && n <= 65535)) throw new Error(`${n}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }));
});
