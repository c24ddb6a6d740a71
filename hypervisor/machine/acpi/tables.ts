/**
 * The ACPI tables (ACPI 6.5, section 5.2): a hardware-reduced PC, which spares the guest the legacy
 * PIC, PIT, PM timer and their probing.
 *
 * @module
 */
import { ECAM, FIRMWARE, IOAPIC, LAPIC, PORT, VM_GENERATION } from "../address_map.ts";
import type { NumaTopology } from "../numa.ts";
import { slit, srat } from "./affinity.ts";
import { apicId, flatTopology, type Topology } from "../cpu/topology.ts";
import { type Aml, bytes, le } from "./aml.ts";
import { dsdt } from "./dsdt.ts";
import { ACPI_PORT, RESET_VALUE } from "./registers.ts";

/** Where the RSDP lies: in the range that Linux searches, and in no RAM that it uses. */
export const RSDP_ADDRESS = FIRMWARE.start;
/** The tables follow the RSDP, up to here: the generation id and the reset vector come next. */
const TABLES_END = VM_GENERATION;

const HEADER_BYTES = 36;
const ascii = (text: string, length: number) => new TextEncoder().encode(text.padEnd(length, " "));

/** A table with its header (5.2.6); the checksum makes all bytes sum to 0. */
function table(signature: string, revision: number, body: Aml): Uint8Array {
  const out = bytes(
    ascii(signature, 4),
    le(HEADER_BYTES + body.length, 4),
    revision,
    0,
    ascii("DENOVI", 6),
    ascii("DENOVISO", 8),
    le(1, 4),
    ascii("DNVS", 4),
    le(1, 4),
    body,
  );
  out[9] = checksum(out);
  return out;
}

function checksum(of: Uint8Array): number {
  return (256 - of.reduce((sum, b) => (sum + b) & 0xFF, 0)) & 0xFF;
}

/** Generic Address Structure (5.2.3.2): one byte of I/O space. */
function ioByte(port: number): Aml {
  return bytes(1, 8, 0, 1, le(port, 8));
}

/** Offsets and flags in the FADT (5.2.9), less the header. */
function fadt(dsdtAddress: number): Uint8Array {
  const HW_REDUCED_ACPI = 1 << 20;
  const RESET_REG_SUP = 1 << 10;
  const WBINVD = 1;
  const body = new Uint8Array(276 - HEADER_BYTES);
  const view = new DataView(body.buffer);
  const put = (offset: number, part: Aml) => body.set(part, offset - HEADER_BYTES);
  view.setUint32(40 - HEADER_BYTES, dsdtAddress, true);
  // IAPC_BOOT_ARCH (5.2.9.3): no 8042 (bit 1 clear), no VGA to probe for (bit 2).
  view.setUint16(109 - HEADER_BYTES, 1 << 2, true);
  view.setUint32(112 - HEADER_BYTES, HW_REDUCED_ACPI | RESET_REG_SUP | WBINVD, true);
  put(116, ioByte(PORT.ACPI + ACPI_PORT.RESET));
  put(128, bytes(RESET_VALUE));
  put(131, bytes(5)); // FADT minor version
  put(140, le(dsdtAddress, 8));
  put(244, ioByte(PORT.ACPI + ACPI_PORT.SLEEP_CONTROL));
  put(256, ioByte(PORT.ACPI + ACPI_PORT.SLEEP_STATUS));
  put(268, ascii("DENOVISO", 8));
  return table("FACP", 6, body);
}

/** The interrupt controllers (5.2.12). */
function madt(topology: Topology, cpus: number): Uint8Array {
  const ENABLED = 1;
  const parts: Aml[] = [];
  for (let id = 0; id < cpus; id++) {
    parts.push(bytes(0, 8, id, apicId(topology, id), le(ENABLED, 4)));
  }
  parts.push(bytes(1, 12, 0, 0, le(IOAPIC.start, 4), le(0, 4)));
  // LINT1 of every processor is NMI.
  parts.push(bytes(4, 6, 0xFF, le(0, 2), 1));
  return table("APIC", 5, bytes(le(LAPIC.start, 4), le(0, 4), ...parts));
}

/** PCI Firmware 3.3, section 4.1.2: the buses from 0 to `last` are at ECAM. */
function mcfg(last: number): Uint8Array {
  return table("MCFG", 1, bytes(le(0, 8), le(ECAM.start, 8), le(0, 2), 0, last, le(0, 4)));
}

/** RSDP and all tables, to be written to guest memory at {@linkcode RSDP_ADDRESS}. */
export function acpiTables(
  options: {
    cpus: number;
    physicalBits: number;
    topology?: Topology;
    hotplugPorts?: number;
    numa?: NumaTopology;
  },
): Uint8Array {
  const { cpus, physicalBits, hotplugPorts = 0 } = options;
  const { topology = flatTopology(cpus) } = options;
  const numa = options.numa && {
    ...options.numa,
    nodes: options.numa.nodes.map(({ cpus, memory }) => ({
      cpus: cpus.map((cpu) => apicId(topology, cpu)),
      memory,
    })),
  };
  const out = new Uint8Array(TABLES_END - RSDP_ADDRESS);
  let next = 64;
  const place = (bytes: Uint8Array): number => {
    if (next + bytes.length > out.length) {
      throw new RangeError(`Cannot place the ACPI tables: more than ${out.length} bytes`);
    }
    const at = next;
    out.set(bytes, at);
    next = Math.ceil((at + bytes.length) / 16) * 16;
    return RSDP_ADDRESS + at;
  };
  const dsdtAddress = place(table("DSDT", 6, dsdt({ cpus, physicalBits, hotplugPorts })));
  const tables = [
    fadt(dsdtAddress),
    madt(topology, cpus),
    mcfg(hotplugPorts),
    ...(numa ? [table("SRAT", 3, srat(numa))] : []),
    ...(numa?.distances ? [table("SLIT", 1, slit(numa.distances))] : []),
  ].map(place);
  const xsdt = place(table("XSDT", 1, bytes(...tables.map((a) => le(a, 8)))));
  out.set(rsdp(xsdt));
  return out.subarray(0, next);
}

/** Root System Description Pointer (5.2.5.3), revision 2. */
function rsdp(xsdt: number): Uint8Array {
  const out = bytes(
    ascii("RSD PTR ", 8),
    0,
    ascii("DENOVI", 6),
    2,
    le(0, 4),
    le(36, 4),
    le(xsdt, 8),
    le(0, 4),
  );
  out[8] = checksum(out.subarray(0, 20));
  out[32] = checksum(out);
  return out;
}
