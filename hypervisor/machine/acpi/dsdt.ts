/**
 * The DSDT: what this PC has that cannot be found by looking.
 *
 * @module
 */
import { ECAM, GSI, MMIO32, mmio64, PORT } from "../address_map.ts";
import {
  type Aml,
  arg,
  buffer,
  bytes,
  device,
  eisaId,
  equal,
  giveBack,
  integer,
  method,
  name,
  notify,
  packageOf,
  scope,
  string,
  uuid,
  when,
} from "./aml.ts";
import {
  busNumbers,
  interrupt,
  ioWindow,
  memory32,
  memoryWindow32,
  memoryWindow64,
  ports,
  resources,
} from "./resources.ts";

/** The sleep type that means "off" in `_S5_` and in the sleep control register. */
export const S5_SLEEP_TYPE = 5;

/** Notify value: the power button was pressed (ACPI 6.5, section 5.6.6). */
const STATUS_CHANGE = 0x80;

/** PCI Firmware 3.3, section 4.6: "_DSM Definitions for PCI". */
const PCI_DSM = "E5C937D0-3553-4D7A-9117-EA4D19C3434D";
const DSM_PRESERVE_BOOT_CONFIG = 5;

function pciRoot(physicalBits: number): Aml {
  const window = mmio64(physicalBits);
  return device(
    "PCI0",
    name("_HID", eisaId("PNP0A08")),
    name("_CID", eisaId("PNP0A03")),
    name("_SEG", integer(0)),
    name("_BBN", integer(0)),
    name("_UID", integer(0)),
    name("_CCA", integer(1)),
    name(
      "_CRS",
      resources(
        busNumbers(0, 1),
        ports(PORT.PCI_CONFIG_ADDRESS, 8),
        ioWindow(0, PORT.PCI_CONFIG_ADDRESS),
        ioWindow(PORT.PCI_CONFIG_DATA + 4, 0x10000 - PORT.PCI_CONFIG_DATA - 4),
        memoryWindow32(MMIO32.start, MMIO32.length),
        memoryWindow64(window.start, window.length),
      ),
    ),
    // Function 5 = 0: the guest need not move what lies well already, and may.
    method(
      "_DSM",
      { args: 4, serialized: true },
      when(
        equal(arg(0), uuid(PCI_DSM)),
        when(equal(arg(2), integer(0)), giveBack(buffer(bytes(1 | 1 << DSM_PRESERVE_BOOT_CONFIG)))),
        when(equal(arg(2), integer(DSM_PRESERVE_BOOT_CONFIG)), giveBack(integer(0))),
      ),
      giveBack(buffer(bytes(0))),
    ),
  );
}

// The memory-mapped configuration space must be claimed by a motherboard device, or Linux leaves it.
const motherboard = device(
  "MBRD",
  name("_HID", eisaId("PNP0C02")),
  name("_UID", integer(0)),
  name("_CRS", resources(memory32(ECAM.start, ECAM.length), ports(PORT.ACPI, 4))),
);

const serial = device(
  "COM1",
  name("_HID", eisaId("PNP0501")),
  name("_UID", integer(0)),
  name("_CRS", resources(ports(PORT.COM1, 8), interrupt(GSI.COM1))),
);

const rtc = device(
  "RTC_",
  name("_HID", eisaId("PNP0B00")),
  name("_CRS", resources(ports(PORT.RTC, 2), interrupt(GSI.RTC))),
);

const powerButton = device(
  "PWRB",
  name("_HID", eisaId("PNP0C0C")),
  name("_UID", integer(0)),
);

// A Generic Event Device (5.6.9): on a PC without the legacy ACPI registers, events are interrupts.
const events = device(
  "GED_",
  name("_HID", string("ACPI0013")),
  name("_UID", integer(0)),
  name("_CRS", resources(interrupt(GSI.ACPI))),
  method(
    "_EVT",
    { args: 1, serialized: true },
    when(equal(arg(0), integer(GSI.ACPI)), notify("\\_SB_.PWRB", STATUS_CHANGE)),
  ),
);

function processor(id: number): Aml {
  return device(
    `C${id.toString(16).padStart(3, "0").toUpperCase()}`,
    name("_HID", string("ACPI0007")),
    name("_UID", integer(id)),
  );
}

export function dsdt(options: { cpus: number; physicalBits: number }): Aml {
  const processors = Array.from({ length: options.cpus }, (_, id) => processor(id));
  return bytes(
    scope(
      "\\_SB_",
      ...processors,
      powerButton,
      events,
      pciRoot(options.physicalBits),
      motherboard,
      serial,
      rtc,
    ),
    name("\\_S5_", packageOf(integer(S5_SLEEP_TYPE), integer(0), integer(0), integer(0))),
  );
}
