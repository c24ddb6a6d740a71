import { assert, assertEquals } from "@std/assert";
import { acpiTables, RSDP_ADDRESS } from "../acpi/tables.ts";
import { RESET_VECTOR, resetVector } from "./reset_vector.ts";

Deno.test("the reset vector writes the FADT's value to the FADT's register", () => {
  const tables = acpiTables({ cpus: 1, physicalBits: 40 });
  const text = new TextDecoder("latin1").decode(tables);
  const fadt = new DataView(tables.buffer, tables.byteOffset + text.indexOf("FACP"));
  const port = fadt.getUint32(116 + 4, true);
  assertEquals([...resetVector().subarray(0, 6)], [
    ...[0xBA, port & 0xFF, port >> 8, 0xB0, fadt.getUint8(128)],
    0xEE,
  ]);
});

Deno.test("the reset vector ends below 1 MiB and above the largest ACPI tables", () => {
  assert(RESET_VECTOR + resetVector().length <= 0x10_0000);
  assert(RSDP_ADDRESS + acpiTables({ cpus: 8, physicalBits: 52 }).length <= RESET_VECTOR);
});
