import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { kernelEntry, parseKernelRecord } from "./kernel_log.ts";

Deno.test("a kernel's record has its level, its time and its text without properties", () => {
  const record = parseKernelRecord(
    "4,812,5140900,-;pci 0000:00:1f.3: odd\\x0a thing\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:1f.3\n",
  );
  assertEquals(record, {
    level: "warning",
    atMs: 5140.9,
    message: "pci 0000:00:1f.3: odd  thing",
  });
  const entry = kernelEntry(record!, Date.UTC(2030, 0, 1));
  assertEquals([entry!.room, entry!.time], ["kernel", "2030-01-01T00:00:05.140Z"]);
});

Deno.test("what process 1 wrote there itself is no news", () => {
  assertEquals(parseKernelRecord("12,9,1,-;denovisor: supervisor: ready\n"), null);
  assert(parseKernelRecord("12,9,1,-;another: program\n") !== null);
});

Deno.test("bytes that the kernel escapes are the text that they were", () => {
  assertEquals(parseKernelRecord("6,1,1,-;\\xc3\\xa4 \\x5c")?.message, "ä \\");
});

Deno.test("any text is a record without controls, or none", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: "binary" }).map((it) => `6,1,1,-;${it}`),
  );
  fc.assert(fc.property(text, (text) => {
    const record = parseKernelRecord(text);
    if (record !== null) assert(!/\p{Cc}/u.test(record.message));
  }));
});
