import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { SerialLog } from "./serial_log.ts";

Deno.test("the log has the last bytes of all that was written, oldest first", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 32 }), chunks, (capacity, chunks) => {
    const log = new SerialLog(capacity);
    const all: number[] = [];
    for (const chunk of chunks) {
      log.append(chunk);
      all.push(...chunk);
      assertEquals([...log.read()], all.slice(-capacity));
    }
  }));
});

Deno.test("what was read does not change with what comes after", () => {
  const log = new SerialLog(4);
  log.append(Uint8Array.of(1, 2));
  const read = log.read();
  log.append(Uint8Array.of(3, 4, 5));
  assertEquals([...read], [1, 2]);
});
