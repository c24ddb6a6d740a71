/**
 * What a guest can do wrong with PCI configuration, BARs, MSI-X, registers and ports.
 *
 * @module
 */
import { ECAM, IOAPIC, LAPIC, mmio64, PORT } from "../../hypervisor/machine/address_map.ts";
import { PCI } from "../../hypervisor/machine/pci/function.ts";
import { COMMON } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { type BlockDriver, diskWord } from "./block_driver.ts";
import type { Size } from "./machine_code.ts";

/** Not RAM and no device's. */
const NOWHERE = 0xA000_0000;
/** A GiB in which only the second half of the address space has BARs: see `mmio64`. */
const HIGH = mmio64(39).start;
/** Where the capabilities lie: MSI-X is the first, and the configuration window the last. */
const MSIX = 0x40;
const MSIX_ENABLE = 0x8000;

export function pciCases(disk: BlockDriver, bystander: BlockDriver): void {
  const { program, virtio } = disk;
  program.mapGiB(2);
  program.mapGiB(HIGH / 2 ** 30);
  bystander.virtio.start();
  virtio.start();

  program.case("where nothing answers, reads are all ones and writes are dropped", () => {
    for (const address of [NOWHERE, 0xC800_0001, 0xFEB0_0000, HIGH + 0x3000_0003]) {
      for (const size of [1, 2, 4, 8] as Size[]) {
        program.write(address, size, 0);
        program.read(address, size);
        program.expect(`${size} bytes at ${address}`, size > 2 ? 0xFFFF_FFFF : 2 ** (8 * size) - 1);
      }
    }
    for (const port of [0x0, 0x60, 0x64, 0x1F0, 0x3D4, 0x500, 0x8000, 0xFFFF]) {
      for (const size of [1, 2, 4] as const) {
        program.out(port, size, 0x5A5A_5A5A);
        program.in(port, size);
        // The ports of the PITs and PICs are KVM's.
        program.expect(`port ${port}`, port === 0xFFFF ? () => true : 2 ** (8 * size) - 1);
      }
    }
    disk.readsSector(1);
  });

  program.case("registers bear accesses of every size at every place", () => {
    for (
      const base of [0, BAR.ISR, BAR.DEVICE, BAR.NOTIFY + 0x1F00, BAR.MSIX_TABLE, BAR.MSIX_PENDING]
    ) {
      for (let offset = 0; offset < 0x40; offset++) {
        for (const size of [1, 2, 4, 8] as Size[]) program.read(virtio.bar + base + offset, size);
      }
    }
    // Across the BAR's end, into the next one's first register.
    for (const size of [2, 4, 8] as Size[]) {
      program.read(virtio.bar + BAR.SIZE - 1, size);
      program.write(virtio.bar + BAR.SIZE - 1, size, 0);
      program.read(virtio.bar - 1, size);
    }
    // What is no write of a whole register changes none.
    for (const offset of [1, 2, 3]) program.write(virtio.bar + COMMON.QUEUE_DESC + offset, 4, 1);
    program.write(virtio.bar + COMMON.QUEUE_DESC, 1, 0xFF);
    program.write(virtio.bar + COMMON.QUEUE_SELECT, 1, 0xFF);
    program.write(virtio.bar + COMMON.NUM_QUEUES, 2, 0xFFFF);
    virtio.expect("QUEUE_DESC", virtio.rings().desc);
    program.read(virtio.bar + BAR.MSIX_TABLE + 0x10_000, 4);
    program.expect("an MSI-X entry that is not there", 0);
    program.read(virtio.bar + BAR.MSIX_PENDING + 0x1000, 4);
    program.expect("pending bits that are not there", 0);
    disk.readsSector(2);
    bystander.readsSector(2);
  });

  program.case("a string instruction copies into registers byte by byte", () => {
    // lea source in RAM: mov esi, 0x7000; mov edi, BAR + device configuration; mov ecx, 64; rep movsb
    program.code.raw(0x57, 0xBE, 0, 0x70, 0, 0);
    program.code.address(virtio.bar + BAR.DEVICE);
    program.code.raw(0x48, 0x89, 0xDF, 0xB9, 64, 0, 0, 0, 0xF3, 0xA4, 0x5F);
    disk.readsSector(2);
  });

  program.case("status goes only its own way", () => {
    virtio.reset();
    for (
      const [written, becomes] of [[0xF, 0], [4, 0], [3, 0], [1, 1], [0xF, 1], [0x43, 1], [3, 3]]
    ) {
      virtio.write(COMMON.DEVICE_STATUS, written);
      virtio.expect("DEVICE_STATUS", becomes);
    }
    // Features that nobody offered.
    virtio.write(COMMON.DRIVER_FEATURE_SELECT, 1);
    virtio.write(COMMON.DRIVER_FEATURE, 0xFFFF_FFFF);
    virtio.write(COMMON.DEVICE_STATUS, 0xB);
    virtio.expect("DEVICE_STATUS", 3);
    for (const select of [2, 31, 0x8000_0000, 0xFFFF_FFFF]) {
      virtio.write(COMMON.DEVICE_FEATURE_SELECT, select);
      virtio.expect("DEVICE_FEATURE", 0);
      virtio.write(COMMON.DRIVER_FEATURE_SELECT, select);
      virtio.write(COMMON.DRIVER_FEATURE, 0xFFFF_FFFF);
      virtio.expect("DRIVER_FEATURE", 0);
    }
    virtio.write(COMMON.DEVICE_STATUS, 0x80);
    virtio.expect("DEVICE_STATUS", 0x83);
    disk.recovers();
  });

  const moves = (name: string, addresses: number[]) =>
    program.case(`a BAR moved ${name} hurts only its device, and comes back`, () => {
      for (const address of addresses) {
        virtio.moveBar(address);
        virtio.kick();
        bystander.readsSector(4);
      }
      virtio.moveBar(virtio.bar);
      disk.recovers();
    });
  moves("onto RAM", [0, BAR.SIZE, 0x200_0000, 2 ** 27 - BAR.SIZE]);
  moves("onto another BAR", [bystander.virtio.bar]);
  moves("onto the PCI configuration space", [ECAM.start]);
  moves("onto interrupt controllers", [LAPIC.start, IOAPIC.start, LAPIC.start - BAR.SIZE]);
  moves("to where nothing is", [NOWHERE, 2 ** 40, 2 ** 52 - BAR.SIZE]);
  moves("to the last address there can be", [2 ** 53 - BAR.SIZE]);
  program.case("RAM under a BAR is still RAM", () => {
    const page = program.allocate(BAR.SIZE * 2);
    const at = Math.ceil(page / BAR.SIZE) * BAR.SIZE;
    virtio.moveBar(at);
    program.write(at + COMMON.DEVICE_STATUS, 4, 0x1234_5678);
    program.read(at + COMMON.DEVICE_STATUS, 4);
    program.expect("RAM", 0x1234_5678);
    virtio.moveBar(virtio.bar);
    disk.recovers();
  });
  program.case("two BARs in one place: notifications reach both or one, and both come back", () => {
    virtio.start();
    virtio.moveBar(bystander.virtio.bar);
    for (const driver of [virtio, bystander.virtio]) {
      program.configWrite(driver.pci, PCI.COMMAND, 2, 0);
      program.configWrite(driver.pci, PCI.COMMAND, 2, 2);
    }
    bystander.virtio.kick();
    virtio.moveBar(virtio.bar);
    bystander.virtio.moveBar(bystander.virtio.bar);
    disk.recovers();
    bystander.recovers();
  });
  program.case("a BAR works at the start and at the end of the high window", () => {
    virtio.moveBar(HIGH);
    program.read(HIGH + COMMON.NUM_QUEUES, 2);
    program.expect("number of queues", (value) => value >= 1 && value < 0xFFFF);
    virtio.moveBar(HIGH * 2 - BAR.SIZE);
    virtio.moveBar(virtio.bar);
    disk.recovers();
  });

  program.case("configuration space bears anything at any place", () => {
    for (let register = 0; register < 0x104; register++) {
      for (const size of [1, 2, 4] as const) {
        program.configRead(virtio.pci, register, size);
        program.configWrite(virtio.pci, register, size, 0xFFFF_FFFF);
        program.configWrite(virtio.pci, register, size, 0);
      }
    }
    for (const register of [0xFFD, 0xFFF]) {
      program.configRead(virtio.pci, register, 4);
      program.configWrite(virtio.pci, register, 4, 0xFFFF_FFFF);
    }
    program.configRead(virtio.pci, 0, 2);
    program.expect("vendor", 0x1AF4);
    virtio.moveBar(virtio.bar);
    disk.recovers();
  });

  program.case("the configuration window looks nowhere else", () => {
    // Its fields as section 4.1.4.9 has them: the window is the last capability of type 5.
    for (let at = 0x40; at < 0xC0; at += 4) {
      for (
        const [offset, length] of [[0, 4], [0x7FFFC, 4], [0x7FFFE, 4], [0x80000, 1], [
          2 ** 32 - 4,
          4,
        ]]
      ) {
        program.configWrite(virtio.pci, at + 4, 1, 0);
        program.configWrite(virtio.pci, at + 8, 4, offset);
        program.configWrite(virtio.pci, at + 12, 4, length);
        program.configRead(virtio.pci, at + 16, 4);
        program.configWrite(virtio.pci, at + 16, 4, 0);
      }
    }
    program.configWrite(virtio.pci, MSIX, 4, 0);
    virtio.moveBar(virtio.bar);
    disk.recovers();
    bystander.readsSector(3);
  });

  program.case("MSI-X messages to nowhere hurt nobody", () => {
    const table = virtio.bar + BAR.MSIX_TABLE;
    program.configWrite(virtio.pci, MSIX + 2, 2, MSIX_ENABLE);
    for (const [low, high, data] of MESSAGES) {
      for (const vector of [0, 1]) {
        program.write(table + 16 * vector, 4, low);
        program.write(table + 16 * vector + 4, 4, high);
        program.write(table + 16 * vector + 8, 4, data);
        program.write(table + 16 * vector + 12, 4, 0);
      }
      virtio.negotiate();
      for (const vector of [0, 1, 2, 0x7FF, 0xFFFF]) {
        virtio.write(COMMON.CONFIG_MSIX_VECTOR, vector);
        virtio.read(COMMON.CONFIG_MSIX_VECTOR);
        program.expect("vector", (got) => got === vector || got === 0xFFFF);
      }
      virtio.write(COMMON.CONFIG_MSIX_VECTOR, 0);
      virtio.setUpQueue(0, { enable: false });
      virtio.write(COMMON.QUEUE_MSIX_VECTOR, 1);
      virtio.write(COMMON.QUEUE_ENABLE, 1);
      virtio.driverOk();
      disk.readsSector(6);
      bystander.readsSector(6);
    }
    program.repeat(50, () => {
      for (const mask of [1, 0]) program.write(table + 16 + 12, 4, mask);
      for (const control of [0, MSIX_ENABLE, 0xC000]) {
        program.configWrite(virtio.pci, MSIX + 2, 2, control);
      }
    });
    program.configWrite(virtio.pci, MSIX + 2, 2, 0);
    disk.recovers();
  });

  program.case("ports bear anything but what they are for", () => {
    for (let port = PORT.COM1 + 1; port < PORT.COM1 + 8; port++) {
      for (const size of [1, 2, 4] as const) {
        program.in(port, size);
        // Loopback stays off, and the divisor's access too: the guest's words go through this port.
        program.out(port, size, 0x4F);
      }
    }
    for (const port of [PORT.RTC, PORT.RTC + 1, PORT.ACPI, PORT.ACPI + 1, PORT.ACPI + 3]) {
      for (const value of [0, 0x10, 0xFF & ~0x20]) {
        program.out(port, 1, value);
        for (const size of [1, 2, 4] as const) program.in(port, size);
      }
    }
    for (let index = 0; index < 256; index++) {
      program.out(PORT.RTC, 1, index);
      program.out(PORT.RTC + 1, 1, 0xFF);
      program.in(PORT.RTC + 1, 1);
    }
    for (const address of [0, 0x7FFF_FFFF, 0x8000_0000, 0x80FF_FFFF, 0xFFFF_FFFF]) {
      for (const size of [1, 2, 4] as const) {
        program.out(PORT.PCI_CONFIG_ADDRESS, size, address);
        for (let i = 0; i < 4; i++) {
          program.in(PORT.PCI_CONFIG_DATA + i, size);
          program.in(PORT.PCI_CONFIG_ADDRESS + i, size);
        }
      }
    }
    program.out(PORT.COM1 + 3, 1, 3);
    program.out(PORT.COM1 + 4, 1, 0);
    program.out(PORT.COM1 + 1, 1, 0);
    disk.readsSector(1);
  });

  program.case("nothing of all this has written to the disk", () => {
    for (const sector of [0, 1, 2, 3, 4]) disk.readsSector(sector);
    program.read(disk.data + 4, 4);
    program.expect("second word of sector 4", diskWord(4 * 128 + 1));
  });
}

/** Address and data of messages: to a local APIC, to none, and such as no PC has. */
const MESSAGES: [low: number, high: number, data: number][] = [
  [0xFEE0_0000, 0, 0x4041],
  [0xFEEF_F000, 0, 0xFFFF_FFFF],
  [0xFEE0_0000, 0xFFFF_FFFF, 0x41],
  [0x1000, 0, 0],
  [0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF],
];
