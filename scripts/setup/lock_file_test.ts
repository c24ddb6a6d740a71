import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { formatLock, type Lock, parseLock } from "./lock_file.ts";

const pin = fc.record({
  package: fc.stringMatching(/^[a-z0-9][a-z0-9+.-]+$/),
  version: fc.stringMatching(/^[A-Za-z0-9.+:~-]+$/),
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
});
const pins = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]*$/), pin);

Deno.test("a lock file that was written is read back as it was", () => {
  fc.assert(fc.property(fc.record({ bookworm: pins, trixie: pins }), (lock) => {
    assertEquals(parseLock(formatLock(lock as Lock), "x.lock"), lock as Lock);
  }));
});

Deno.test("any other text is a lock or a SyntaxError that names the file", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    try {
      parseLock(text, "x.lock");
    } catch (error) {
      if (!(error instanceof SyntaxError) || !error.message.includes('"x.lock"')) throw error;
    }
  }));
});

Deno.test("a pin without its hash is refused with what to run", () => {
  const text = JSON.stringify({ trixie: { zstd: { package: "zstd", version: "1" } } });
  assertThrows(
    () => parseLock(text, "x.lock"),
    SyntaxError,
    'Cannot parse lock file "x.lock": zstd.sha256 is missing',
  );
});
