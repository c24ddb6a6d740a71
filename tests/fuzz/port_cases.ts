/**
 * Random accesses to the ports that ACPI tells a guest of: the serial port, the clock, sleep and reset.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { AcpiRegisters } from "../../hypervisor/devices/acpi_registers.ts";
import { RtcMc146818 } from "../../hypervisor/devices/rtc_mc146818.ts";
import { Uart16550 } from "../../hypervisor/devices/uart16550.ts";
import { ACPI_PORT, RESET_VALUE, S5_SLEEP_TYPE } from "../../hypervisor/machine/acpi/registers.ts";
import { PORT } from "../../hypervisor/machine/address_map.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { Bus } from "../../hypervisor/machine/bus.ts";
import { accessSize, mostly, u32, u8 } from "./arbitraries.ts";

interface PortAccess {
  port: number;
  size: 1 | 2 | 4;
  value: number;
  write: boolean;
  /** What the host types meanwhile, and whether it reads. */
  typed: number;
  drain: boolean;
}

export const portCase: fc.Arbitrary<PortAccess[]> = fc.array(
  fc.record({
    port: mostly(
      fc.oneof(
        fc.nat(7).map((n) => PORT.COM1 + n),
        fc.nat(1).map((n) => PORT.RTC + n),
        fc.nat(ACPI_PORT.LENGTH).map((n) => PORT.ACPI + n),
      ),
      fc.nat(0xFFFF),
    ),
    size: mostly(fc.constant(1 as const), accessSize, 6),
    value: mostly(u8, u32),
    write: fc.boolean(),
    typed: mostly(fc.constant(0), fc.nat(5000)),
    drain: fc.boolean(),
  }),
  { maxLength: 150, size: "max" },
);

/** Every byte that was sent arrives, and only what ends the guest ends it. */
export function checkPortCase(accesses: PortAccess[]): void {
  const arena = new Arena();
  const bus = new Bus();
  let ends = 0;
  let wanted = 0;
  const uart = new Uart16550(arena, { name: "serial0", interrupt: () => {}, wakeHost: () => {} });
  const rtc = new RtcMc146818(arena);
  bus.attach(PORT.COM1, 8, uart);
  bus.attach(PORT.RTC, 2, rtc);
  bus.attach(
    PORT.ACPI,
    ACPI_PORT.LENGTH,
    new AcpiRegisters({ powerOff: () => ends++, reset: () => ends++ }),
  );
  uart.powerOn();
  rtc.powerOn();
  const sent: number[] = [];
  let lcr = 0;
  let mcr = 0;
  for (const { port, size, value, write, typed, drain } of accesses) {
    const written = value % 2 ** (8 * size);
    const within = port - PORT.ACPI;
    const isWhole = port >= PORT.COM1 && port + size <= PORT.COM1 + 8;
    if (write) {
      if (isWhole && port === PORT.COM1 + 3) lcr = written & 0xFF;
      if (isWhole && port === PORT.COM1 + 4) mcr = written & 0x1F;
      if (isWhole && port === PORT.COM1 && (lcr & 0x80) === 0 && (mcr & 0x10) === 0) {
        sent.push(written & 0xFF);
      }
      const isAcpi = within >= 0 && within + size <= ACPI_PORT.LENGTH;
      if (isAcpi && within === ACPI_PORT.RESET && (written & 0xFF) === RESET_VALUE) wanted++;
      const sleeps = (written & 0x20) !== 0 && (written >> 2 & 7) === S5_SLEEP_TYPE;
      if (isAcpi && within === ACPI_PORT.SLEEP_CONTROL && sleeps) wanted++;
      bus.write(port, size, written);
    }
    const read = bus.read(port, size);
    assert(Number.isInteger(read) && read >= 0 && read <= 0xFFFF_FFFF, `it reads as ${read}`);
    const taken = uart.receive(new Uint8Array(typed));
    assert(taken >= 0 && taken <= typed);
    if (drain) assertEquals([...uart.transmit()], sent.splice(0));
    assertEquals(ends, wanted);
  }
  assertEquals([...uart.transmit()], sent);
}
