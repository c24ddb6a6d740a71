import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { GSI } from "../address_map.ts";
import { Arena } from "../arena.ts";
import { Interrupts } from "../interrupts.ts";
import { FakeVm } from "../testing/fake_vm.ts";
import { OpenInterrupts } from "../testing/open_interrupts.ts";
import { PciFunction } from "./function.ts";
import { Msix } from "./msix.ts";

const VECTORS = 3;
const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;

const open = new OpenInterrupts();
Deno.test.afterEach(() => open.close());

function card() {
  const fake = new FakeVm();
  const arena = new Arena();
  const interrupts = new Interrupts(arena, fake.vm);
  const fn = new PciFunction(arena, "card", { identity: { vendor: 1, device: 2, class: 0 } });
  const vectors = interrupts.reserve(VECTORS);
  const msix = new Msix(arena, "card", {
    function: fn,
    vectors,
    tableOffset: 0x8000,
    pendingOffset: 0x48000,
  });
  interrupts.create([], interrupts.reserved);
  open.add(interrupts);
  fn.powerOn();
  msix.powerOn();
  const at = fn.readConfig(0x34, 1);
  return {
    fake,
    fn,
    msix,
    at,
    control: (value: number) => fn.writeConfig(at + 2, 2, value),
    /** Writes a whole entry, as a driver does: masked, then its words, then unmasked. */
    program: (vector: number, address: number, data: number) => {
      msix.writeTable(vector * 16 + 12, 4, 1);
      msix.writeTable(vector * 16, 4, address);
      msix.writeTable(vector * 16 + 4, 4, 0);
      msix.writeTable(vector * 16 + 8, 4, data);
      msix.writeTable(vector * 16 + 12, 4, 0);
    },
  };
}

Deno.test("the capability tells how many vectors there are and where table and pending bits lie", () => {
  const { fn, at } = card();
  assertEquals(fn.readConfig(at, 1), 0x11);
  assertEquals(fn.readConfig(at + 2, 2), VECTORS - 1);
  assertEquals(fn.readConfig(at + 4, 4), 0x8000);
  assertEquals(fn.readConfig(at + 8, 4), 0x48000);
  // Only the two control bits can be written.
  fn.writeConfig(at, 4, 0xFFFF_FFFF);
  fn.writeConfig(at + 4, 4, 0xFFFF_FFFF);
  assertEquals(fn.readConfig(at + 2, 2), ENABLE | FUNCTION_MASK | (VECTORS - 1));
  assertEquals(fn.readConfig(at + 4, 4), 0x8000);
});

Deno.test("every vector is masked at power-on", () => {
  const { fake, msix, control } = card();
  control(ENABLE);
  for (let i = 0; i < VECTORS; i++) assertEquals(msix.readTable(i * 16 + 12, 4), 1);
  for (let i = 0; i < VECTORS; i++) msix.signal(i);
  assertEquals(fake.deliver(), []);
});

Deno.test("an enabled, unmasked vector sends its message", () => {
  const { fake, msix, control, program } = card();
  control(ENABLE);
  program(1, 0xFEE0_2000, 0x41);
  msix.signal(1);
  msix.signal(2);
  assertEquals(fake.deliver(), [[0xFEE0_2000, 0x41]]);
});

Deno.test("masking takes the irqfd off before the route changes, unmasking puts it on after", () => {
  const { fake, msix, control, program } = card();
  control(ENABLE);
  program(0, 0xFEE0_0000, 1);
  fake.log.length = 0;
  msix.writeTable(12, 4, 1);
  assertEquals(fake.log, [`deassign ${GSI.FIRST_MSI}`, "routes"]);
  fake.log.length = 0;
  msix.writeTable(12, 4, 0);
  assertEquals(fake.log, ["routes", `assign ${GSI.FIRST_MSI}`]);
  // The same for all at once, by the function's mask and by its enable bit.
  for (const off of [ENABLE | FUNCTION_MASK, 0]) {
    fake.log.length = 0;
    control(off);
    assertEquals(fake.log, [`deassign ${GSI.FIRST_MSI}`, "routes"]);
    fake.log.length = 0;
    control(ENABLE);
    assertEquals(fake.log, ["routes", `assign ${GSI.FIRST_MSI}`]);
  }
});

Deno.test("what is signalled while masked is pending, and sent when unmasked", () => {
  const { fake, msix, control, program } = card();
  control(ENABLE);
  program(2, 0xFEE0_0000, 7);
  control(ENABLE | FUNCTION_MASK);
  msix.signal(2);
  assertEquals(fake.deliver(), []);
  assertEquals([msix.readPending(0, 4), msix.readPending(0, 1)], [0b100, 0b100]);
  control(ENABLE);
  assertEquals(msix.readPending(0, 4), 0);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 7]]);
  assertEquals(fake.deliver(), []);
});

Deno.test("a message that changes while unmasked is the one that is sent", () => {
  const { fake, msix, control, program } = card();
  control(ENABLE);
  program(0, 0xFEE0_0000, 1);
  msix.writeTable(8, 4, 2);
  msix.signal(0);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 2]]);
});

Deno.test("a vector that does not exist is signalled to nobody and has no eventfd", () => {
  const { fake, msix, control } = card();
  control(ENABLE);
  for (const vector of [VECTORS, 0xFFFF]) {
    msix.signal(vector);
    assertEquals(msix.fd(vector), -1);
  }
  assertEquals(fake.deliver(), []);
  assert(msix.fd(VECTORS - 1) > 0);
});

Deno.test("no sequence of accesses throws, and reads never exceed their size", () => {
  const offset = fc.oneof(
    fc.integer({ min: 0, max: 16 * VECTORS + 8 }),
    fc.integer({ min: 0, max: 2 ** 19 }),
  );
  const access = fc.record({
    what: fc.constantFrom("table", "control", "signal"),
    offset,
    size: fc.constantFrom(1, 2, 4),
    value: fc.oneof(
      fc.integer({ min: 0, max: 0xFFFF_FFFF }),
      fc.constantFrom(0, 1, ENABLE, FUNCTION_MASK),
    ),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
      const { fake, msix, control } = card();
      for (const { what, offset, size, value } of accesses) {
        if (what === "table") msix.writeTable(offset, size, value);
        else if (what === "control") control(value & 0xFFFF);
        else msix.signal(value);
        for (const read of [msix.readTable(offset, size), msix.readPending(offset, size)]) {
          assert(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size));
        }
        // Exactly the vectors that have a route have an irqfd.
        const routed = fake.routes.filter((r) => r.gsi >= GSI.FIRST_MSI).map((r) => r.gsi);
        assertEquals([...fake.irqfds.values()].sort(), routed.sort());
      }
      open.close();
    }),
    { numRuns: 60 },
  );
});
