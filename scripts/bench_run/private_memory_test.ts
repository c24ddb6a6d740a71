import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parsePrivateMemory } from "./private_memory.ts";

const SMAPS = `7f0000000000-7f0010000000 rw-s 00000000 00:01 5 /memfd:ram (deleted)
Size:             262144 kB
Shared_Clean:          0 kB
Private_Clean:         0 kB
Private_Dirty:     51200 kB
7f0020000000-7f0020100000 rw-p 00000000 00:00 0
Size:               1024 kB
Private_Clean:      1024 kB
Private_Dirty:      2048 kB
`;

Deno.test("the guest's RAM counts in the total and not for its monitor, clean pages in neither", () => {
  assertEquals(parsePrivateMemory(SMAPS, 256), { total: 52, monitor: 2 });
});

Deno.test("any text gives sizes that are numbers, the monitor's no larger than the total", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const { total, monitor } = parsePrivateMemory(`${SMAPS}${text}`, 256);
    return Number.isFinite(total) && monitor <= total;
  }));
});
