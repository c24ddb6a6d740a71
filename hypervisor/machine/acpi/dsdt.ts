/**
 * The DSDT: what this PC has that cannot be found by looking.
 *
 * @module
 */
import { ECAM, ecamLength, GSI, MMIO32, mmio64, PORT } from "../address_map.ts";
import {
  type Aml,
  and,
  arg,
  buffer,
  bytes,
  device,
  dwordField,
  eisaId,
  equal,
  giveBack,
  integer,
  keep,
  method,
  name,
  named,
  not,
  notify,
  packageOf,
  scope,
  set,
  string,
  uuid,
  when,
} from "./aml.ts";
import { GENERATION_DEVICE, GENERATION_GSI, generationDevice } from "./generation.ts";
import { S5_SLEEP_TYPE } from "./registers.ts";
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

/** Notify value: the power button was pressed, the generation changed (ACPI 6.5, section 5.6.6). */
const STATUS_CHANGE = 0x80;

/** PCI Firmware 3.3, section 4.6: "_DSM Definitions for PCI". */
const PCI_DSM = "E5C937D0-3553-4D7A-9117-EA4D19C3434D";
const DSM_PRESERVE_BOOT_CONFIG = 5;

/** PCI Firmware 3.3, section 4.5.1: "_OSC Interface for PCI Host Bridge Devices". */
const PCI_OSC = "33DB4D5B-1FF7-401C-9657-7441C03DD766";
const OSC = {
  /** In the first word, for the caller. */
  UNKNOWN_UUID: 1 << 2,
  UNKNOWN_REVISION: 1 << 3,
  MASKED: 1 << 4,
  /** In the third word: native hot-plug, and the PCI Express capability. */
  CONTROL: 1 << 0 | 1 << 4,
} as const;

// The guest drives the hot-plug ports itself, by their slot registers, and not through ACPI.
function osc(): Aml {
  return method(
    "_OSC",
    { args: 4, serialized: true },
    dwordField(arg(3), 0, "CDW1"),
    when(
      equal(arg(0), uuid(PCI_OSC)),
      dwordField(arg(3), 8, "CDW3"),
      when(
        not(equal(and(named("CDW3"), integer(~OSC.CONTROL >>> 0)), integer(0))),
        set(named("CDW1"), integer(OSC.MASKED)),
      ),
      keep(named("CDW3"), integer(OSC.CONTROL)),
      when(not(equal(arg(1), integer(1))), set(named("CDW1"), integer(OSC.UNKNOWN_REVISION))),
      giveBack(arg(3)),
    ),
    set(named("CDW1"), integer(OSC.UNKNOWN_UUID)),
    giveBack(arg(3)),
  );
}

function pciRoot(physicalBits: number, hotplugPorts: number): Aml {
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
        busNumbers(0, 1 + hotplugPorts),
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
    ...(hotplugPorts > 0 ? [osc()] : []),
  );
}

// The memory-mapped configuration space must be claimed by a motherboard device, or Linux leaves it.
function motherboard(hotplugPorts: number): Aml {
  const ecam = memory32(ECAM.start, ecamLength(hotplugPorts));
  return device(
    "MBRD",
    name("_HID", eisaId("PNP0C02")),
    name("_UID", integer(0)),
    name("_CRS", resources(ecam, ports(PORT.ACPI, 4))),
  );
}

function serial(): Aml {
  return device(
    "COM1",
    name("_HID", eisaId("PNP0501")),
    name("_UID", integer(0)),
    name("_CRS", resources(ports(PORT.COM1, 8), interrupt(GSI.COM1))),
  );
}

function rtc(): Aml {
  return device(
    "RTC_",
    name("_HID", eisaId("PNP0B00")),
    name("_CRS", resources(ports(PORT.RTC, 2), interrupt(GSI.RTC))),
  );
}

function powerButton(): Aml {
  return device(
    "PWRB",
    name("_HID", eisaId("PNP0C0C")),
    name("_UID", integer(0)),
  );
}

// A Generic Event Device (5.6.9): on a PC without the legacy ACPI registers, events are interrupts.
function events(): Aml {
  return device(
    "GED_",
    name("_HID", string("ACPI0013")),
    name("_UID", integer(0)),
    name("_CRS", resources(interrupt(GSI.ACPI), interrupt(GENERATION_GSI))),
    method(
      "_EVT",
      { args: 1, serialized: true },
      when(equal(arg(0), integer(GSI.ACPI)), notify("\\_SB_.PWRB", STATUS_CHANGE)),
      when(equal(arg(0), integer(GENERATION_GSI)), notify(GENERATION_DEVICE, STATUS_CHANGE)),
    ),
  );
}

function processor(id: number): Aml {
  return device(
    `C${id.toString(16).padStart(3, "0").toUpperCase()}`,
    name("_HID", string("ACPI0007")),
    name("_UID", integer(id)),
  );
}

export function dsdt(
  options: { cpus: number; physicalBits: number; hotplugPorts: number },
): Aml {
  const processors = Array.from({ length: options.cpus }, (_, id) => processor(id));
  return bytes(
    scope(
      "\\_SB_",
      ...processors,
      powerButton(),
      generationDevice(),
      events(),
      pciRoot(options.physicalBits, options.hotplugPorts),
      motherboard(options.hotplugPorts),
      serial(),
      rtc(),
    ),
    name("\\_S5_", packageOf(integer(S5_SLEEP_TYPE), integer(0), integer(0), integer(0))),
  );
}
