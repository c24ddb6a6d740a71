import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ECAM, mmio64 } from "../address_map.ts";
import type { NumaTopology } from "../numa.ts";
import { acpiTables, RSDP_ADDRESS } from "./tables.ts";

const GiB = 2 ** 30;

const NUMA: NumaTopology = {
  nodes: [
    { cpus: [0, 2], memory: [{ start: 0, length: 2 * GiB }] },
    {
      cpus: [1],
      memory: [{ start: 2 * GiB, length: GiB }, { start: 4 * GiB, length: 3 * GiB }],
    },
  ],
  distances: [[10, 21], [22, 10]],
  hotplug: { start: 8 * GiB, length: 64 * GiB, node: 1 },
};

const OPTIONS = { cpus: 3, physicalBits: 46, numa: NUMA };

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xFF, 0);
const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

/** Finds the tables as a guest does: from the RSDP by the addresses that each table has. */
function walk(memory: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(memory.buffer, memory.byteOffset, memory.length);
  const tableAt = (address: bigint): Uint8Array => {
    const at = Number(address) - RSDP_ADDRESS;
    return memory.subarray(at, at + view.getUint32(at + 4, true));
  };
  assertEquals(text(memory.subarray(0, 8)), "RSD PTR ");
  assertEquals([sum(memory.subarray(0, 20)), sum(memory.subarray(0, 36))], [0, 0]);
  assertEquals(memory[15], 2);
  const xsdt = tableAt(view.getBigUint64(24, true));
  const tables = new Map([["XSDT", xsdt]]);
  const pointers = new DataView(xsdt.buffer, xsdt.byteOffset, xsdt.length);
  for (let at = 36; at < xsdt.length; at += 8) {
    const table = tableAt(pointers.getBigUint64(at, true));
    tables.set(text(table.subarray(0, 4)), table);
  }
  const fadt = tables.get("FACP")!;
  const fields = new DataView(fadt.buffer, fadt.byteOffset, fadt.length);
  assertEquals(BigInt(fields.getUint32(40, true)), fields.getBigUint64(140, true));
  tables.set("DSDT", tableAt(fields.getBigUint64(140, true)));
  return tables;
}

Deno.test("every table is found from the RSDP and sums to 0", () => {
  for (const cpus of [1, 8]) {
    const tables = walk(acpiTables({ cpus, physicalBits: 39 }));
    assertEquals([...tables.keys()].sort(), ["APIC", "DSDT", "FACP", "MCFG", "XSDT"]);
    for (const [signature, table] of tables) {
      assertEquals(text(table.subarray(0, 4)), signature);
      assertEquals(sum(table), 0, signature);
    }
  }
});

Deno.test("the tables stay between the RSDP and the kernel, or are refused", () => {
  const most = acpiTables({ cpus: 255, physicalBits: 46 });
  assert(RSDP_ADDRESS + most.length <= 0x10_0000);
  assertThrows(() => acpiTables({ cpus: 4000, physicalBits: 46 }), RangeError, "ACPI tables");
});

/** Every table as the reference compiler's disassembler reads it. */
function disassemble(options: Parameters<typeof acpiTables>[0]): Record<string, string> {
  const folder = Deno.makeTempDirSync();
  try {
    const listings: Record<string, string> = {};
    for (const [signature, table] of walk(acpiTables(options))) {
      const path = `${folder}/${signature}`;
      Deno.writeFileSync(`${path}.dat`, table);
      const { code, stderr, stdout } = iasl(["-d", `${path}.dat`]);
      const said = stderr + stdout;
      assertEquals(code, 0, said);
      assert(!/error|warning|invalid/i.test(said), said);
      listings[signature] = Deno.readTextFileSync(`${path}.dsl`);
    }
    // What was disassembled compiles again, without a complaint.
    const { stdout } = iasl(["-f", `${folder}/DSDT.dsl`]);
    assertStringIncludes(stdout, "0 Errors, 0 Warnings");
    return listings;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function iasl(args: string[]) {
  const { code, stdout, stderr } = new Deno.Command("iasl", { args }).outputSync();
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The listing on one line each, blanks reduced to one. */
const flat = (listing: string) => listing.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ");

Deno.test("a disassembler that knows ACPI reads in the tables what is meant", () => {
  const listings = disassemble(OPTIONS);
  const hex = (value: number, digits: number) =>
    value.toString(16).toUpperCase().padStart(digits, "0");

  const dsdt = flat(listings.DSDT);
  for (let id = 0; id < OPTIONS.cpus; id++) assertStringIncludes(dsdt, `Device (C00${id})`);
  assert(!dsdt.includes(`Device (C00${OPTIONS.cpus})`));
  assertStringIncludes(dsdt, "Name (\\_S5, Package (0x04) { 0x05, Zero, Zero, Zero })");
  assertStringIncludes(dsdt, "Notify (\\_SB.PWRB, 0x80)");
  assertStringIncludes(dsdt, 'Name (_HID, EisaId ("PNP0A08")');
  assertStringIncludes(dsdt, 'Name (_CID, "VM_Gen_Counter")');
  assertStringIncludes(dsdt, "Name (ADDR, Package (0x02) { 0x000FE000, Zero })");
  assertMatch(dsdt, /If \(\(Arg0 == 0x0A\)\) \{ Notify \(\\_SB\.VGEN, 0x80\)/);
  const window = mmio64(OPTIONS.physicalBits);
  assertStringIncludes(dsdt, `0x${hex(window.start, 16)}, `);
  assertStringIncludes(dsdt, `0x${hex(window.start + window.length - 1, 16)}, `);
  assertStringIncludes(dsdt, `Memory32Fixed (ReadWrite, 0x${hex(ECAM.start, 8)}, `);
  assertStringIncludes(dsdt, 'ToUUID ("e5c937d0-3553-4d7a-9117-ea4d19c3434d")');

  const fadt = flat(listings.FACP);
  for (
    const line of [
      "Hardware Reduced (V5) : 1",
      "Reset Register Supported (V2) : 1",
      "8042 Present on ports 60/64 (V2) : 0",
      "VGA Not Present (V4) : 1",
      "CMOS RTC Not Present (V5) : 0",
      "FADT Minor Revision : 05",
    ]
  ) assertStringIncludes(fadt, line);
  assertStringIncludes(fadt, "Address : 0000000000000600"); // sleep control
  assertStringIncludes(fadt, "Address : 0000000000000602"); // reset

  const madt = flat(listings.APIC);
  assertEquals(madt.match(/Processor Local APIC\]/g)?.length, OPTIONS.cpus);
  assertStringIncludes(madt, "Address : FEC00000");
  assertStringIncludes(madt, "Interrupt Input LINT : 01");
  assertStringIncludes(flat(listings.MCFG), "Base Address : 00000000E0000000");
});

Deno.test("hot-plug ports have their buses, and the guest is handed their control", () => {
  const listings = disassemble({ ...OPTIONS, hotplugPorts: 8 });
  const dsdt = flat(listings.DSDT);
  assertStringIncludes(dsdt, "Method (_OSC, 4, Serialized)");
  assertStringIncludes(dsdt, 'ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766")');
  assertStringIncludes(dsdt, "CDW3 &= 0x11");
  assertStringIncludes(dsdt, `Memory32Fixed (ReadWrite, 0xE0000000, 0x00900000, )`);
  assertMatch(flat(listings.MCFG), /Start Bus Number : 00.*End Bus Number : 08/);
  assert(!flat(disassemble(OPTIONS).DSDT).includes("_OSC"));
});

Deno.test("a disassembler reads which CPUs and memory are near each other", () => {
  const { SRAT, SLIT } = disassemble(OPTIONS);
  // A line for each field, of which those that matter are told apart by their names.
  const values = (listing: string, name: string) =>
    [...listing.matchAll(new RegExp(`${name} : (.*)$`, "gm"))].map(([, value]) =>
      parseInt(value, 16)
    );
  assertEquals(values(SRAT, "Apic ID"), [0, 2, 1]);
  assertEquals(values(SRAT, "Proximity Domain Low\\(8\\)"), [0, 0, 1]);
  assertEquals(values(SRAT, "Proximity Domain"), [0, 1, 1, 1]);
  assertEquals(values(SRAT, "Base Address"), [0, 2 * GiB, 4 * GiB, 8 * GiB]);
  assertEquals(values(SRAT, "Address Length"), [2 * GiB, GiB, 3 * GiB, 64 * GiB]);
  assertEquals(values(SRAT, "Enabled"), [1, 1, 1, 1, 1, 1, 1]);
  assertEquals(values(SRAT, "Hot Pluggable"), [0, 0, 0, 1]);
  assertEquals(values(SLIT, "Localities"), [2]);
  assertEquals(values(SLIT, "Locality +\\d+"), [0x0A, 0x16]);
});
