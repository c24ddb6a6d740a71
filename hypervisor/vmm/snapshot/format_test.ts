import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { decodeSections, encodeSections, kindOf, SnapshotError, UPGRADES } from "./format.ts";
import { decodeGuest, encodeGuest } from "./saved_guest.ts";
import { CONFIG, savedGuest } from "./testing/saved_guest.ts";
import {
  checkDamageCase,
  checkForgeryCase,
  damageCase,
  forgeryCase,
} from "./testing/state_case.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

Deno.test("a guest that is read is the one that was written", () => {
  const guest = savedGuest();
  assertEquals(decodeGuest(encodeGuest(guest)), guest);
});

Deno.test("sections come back by their names, with their versions and bytes", () => {
  const sections = new Map([
    ["one", { version: 1, bytes: bytes(1, 2, 3) }],
    ["two/three.four", { version: 7, bytes: new Uint8Array(5000).fill(9) }],
    ["empty", { version: 2, bytes: bytes() }],
  ]);
  assertEquals(decodeSections(encodeSections(sections)), sections);
  assertEquals(decodeSections(encodeSections(new Map())), new Map());
  // Also where the file is a part of something larger, at an odd place.
  const file = encodeSections(sections);
  const within = new Uint8Array(file.length + 3);
  within.set(file, 3);
  assertEquals(decodeSections(within.subarray(3)), sections);
});

Deno.test("whatever byte is changed, and wherever it is cut, it is refused", () => {
  fc.assert(fc.property(damageCase, checkDamageCase), { numRuns: 400 });
});

Deno.test("what is made up but has the right digests is refused, or is a guest", () => {
  fc.assert(fc.property(forgeryCase, checkForgeryCase), { numRuns: 300 });
});

Deno.test("what is wrong is named", () => {
  const good = encodeSections(new Map([["one", { version: 1, bytes: bytes(1) }]]));
  const changed = (at: number, value: number) => {
    const file = good.slice();
    file[at] = value;
    return file;
  };
  const refused = (file: Uint8Array<ArrayBuffer>, why: string) =>
    assertThrows(() => decodeSections(file), SnapshotError, why);
  refused(bytes(1, 2, 3), "it has 3 bytes");
  refused(changed(0, 0), "bad magic 0x");
  refused(changed(8, 9), "it is of version 9, and known are 1 to 1");
  refused(good.slice(0, -1), "and should have");
  refused(changed(12, 2), "section 1 is past its end");
  refused(changed(32 + 144, 5), "section 0 is damaged");
  refused(changed(good.length - 1, good.at(-1)! ^ 1), "it is damaged");
  const edited = (edit: (sections: ReturnType<typeof decodeSections>) => void) => {
    const sections = decodeSections(encodeGuest(savedGuest()));
    edit(sections);
    return encodeSections(sections);
  };
  const noGuest = (file: Uint8Array<ArrayBuffer>, why: string) =>
    assertThrows(() => decodeGuest(file), SnapshotError, why);
  noGuest(edited((all) => all.delete("vcpu1/lapic")), 'section "vcpu1/lapic" is missing');
  noGuest(
    edited((all) => all.set("vcpu0/regs", { version: 1, bytes: bytes(1) })),
    'section "vcpu0/regs" has 1 bytes, and should have 144',
  );
  noGuest(
    edited((all) => all.get("time")!.version = 2),
    'section "time" is of version 2, and here of 1',
  );
  const described = (change: Record<string, unknown>) =>
    edited((all) => {
      const { machine: _, ...described } = savedGuest();
      const value = { ...described, ...change };
      all.get("guest")!.bytes = new TextEncoder().encode(JSON.stringify(value));
    });
  noGuest(described({ config: { ...CONFIG, cpus: 99 } }), "the number of CPUs 99");
  noGuest(described({ memory: { length: 5 } }), "does not say what memory there is");
  for (
    const point of [undefined, { run: "x", sequence: 1 }, { ...savedGuest().point, sequence: 0 }]
  ) {
    noGuest(described({ point }), "does not say when it was saved");
  }
  noGuest(
    edited((all) => all.set("memory/digests", { version: 1, bytes: bytes(1) })),
    'section "memory/digests" has 1 bytes, and should have 2048',
  );
  noGuest(described({ plugged: [{ name: "../x", slot: 0 }] }), "it has no name, or no slot");
});

Deno.test("a section of an older version is brought up to date, step by step", () => {
  const upgrades = UPGRADES as Record<string, Record<number, (old: Uint8Array) => Uint8Array>>;
  assertEquals(kindOf("arena/net12.msix"), "arena/net*.msix");
  upgrades["thing*"] = {
    1: (old) => Uint8Array.from([...old, 2]),
    2: (old) => Uint8Array.from([...old, 3]),
  };
  try {
    const read = (version: number) =>
      decodeSections(encodeSections(new Map([["thing5", { version, bytes: bytes(1) }]])))
        .get("thing5");
    assertEquals(read(1), { version: 3, bytes: bytes(1, 2, 3) });
    assertEquals(read(2), { version: 3, bytes: bytes(1, 3) });
    assertEquals(read(3), { version: 3, bytes: bytes(1) });
  } finally {
    delete upgrades["thing*"];
  }
  assert(Object.keys(UPGRADES).length === 0);
});
