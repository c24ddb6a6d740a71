import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseProcessMemory } from "./process_memory.ts";

const SMAPS = `7f0000000000-7f0010000000 rw-s 00000000 00:01 5 /memfd:ram (deleted)
Size:             262144 kB
Pss:               51200 kB
Private_Clean:         0 kB
Private_Dirty:     51200 kB
7f0020000000-7f0020100000 rw-p 00000000 00:00 0
Size:               1024 kB
Pss:                4096 kB
Private_Clean:      1024 kB
Private_Dirty:      2048 kB
`;

Deno.test("the guest's RAM does not count, clean pages only in proportion", () => {
  assertEquals(parseProcessMemory(SMAPS, 256), { private: 2, proportional: 4 });
  assertEquals(parseProcessMemory(SMAPS, 64), { private: 52, proportional: 54 });
});

Deno.test("any text gives sizes that are numbers", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    const sizes = parseProcessMemory(`${SMAPS}${text}`, 256);
    return Number.isFinite(sizes.private) && Number.isFinite(sizes.proportional);
  }));
});
