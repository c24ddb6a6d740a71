import { assertEquals } from "@std/assert";
import { AcpiRegisters } from "./acpi_registers.ts";

function registers() {
  const log: string[] = [];
  const device = new AcpiRegisters({
    powerOff: () => log.push("off"),
    reset: () => log.push("reset"),
  });
  return { device, log };
}

Deno.test("only sleep type 5 with the enable bit powers off", () => {
  const { device, log } = registers();
  for (let value = 0; value < 256; value++) device.write(0, 1, value);
  // Four bits of the register mean nothing, so sixteen values mean "off".
  assertEquals(log, new Array(16).fill("off"));
  log.length = 0;
  device.write(0, 1, 5 << 2 | 1 << 5);
  assertEquals(log, ["off"]);
});

Deno.test("only the reset register's value resets", () => {
  const { device, log } = registers();
  for (let value = 0; value < 256; value++) {
    device.write(1, 1, value);
    device.write(2, 1, value);
    device.write(3, 1, value);
  }
  assertEquals(log, ["reset"]);
});

Deno.test("reads are zeros", () => {
  const { device } = registers();
  assertEquals([0, 1, 2, 3].map((offset) => device.read(offset, 1)), [0, 0, 0, 0]);
});
