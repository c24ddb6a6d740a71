import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
} from "../kvm/ioctls.ts";
import { isSignalled } from "../sys/eventfd.ts";
import { GSI } from "./address_map.ts";
import { Arena } from "./arena.ts";
import { Interrupts, MAX_MSI } from "./interrupts.ts";
import { FakeVm } from "./testing/fake_vm.ts";
import { OpenInterrupts } from "./testing/open_interrupts.ts";

const open = new OpenInterrupts();
Deno.test.afterEach(() => open.close());

function interrupts(options: { lines?: number[]; vectors?: number } = {}) {
  const { lines = [GSI.COM1], vectors = 4 } = options;
  const fake = new FakeVm();
  const arena = new Arena();
  const chip = new Interrupts(arena, fake.vm);
  const device = chip.reserve(vectors);
  chip.create(lines, chip.reserved);
  open.add(chip);
  return { fake, arena, chip, device };
}

Deno.test("every line goes to its pin of the IOAPIC and of the PIC, the timer's to pin 2", () => {
  const { fake } = interrupts();
  const pins = (chip: number) =>
    fake.routes
      .filter((r) => r.type === KVM_IRQ_ROUTING_IRQCHIP && r.address_lo === chip)
      .map((r) => [r.gsi, r.address_hi]);
  const range = (from: number, to: number, base = 0) =>
    Array.from({ length: to - from }, (_, i) => [from + i, from + i - base]);
  assertEquals(pins(KVM_IRQCHIP_IOAPIC), [[0, 2], [1, 1], ...range(3, 24)]);
  assertEquals(pins(KVM_IRQCHIP_PIC_MASTER), range(0, 8));
  assertEquals(pins(KVM_IRQCHIP_PIC_SLAVE), range(8, 16, 8));
});

Deno.test("a pulse signals the line's eventfd, which is an irqfd of its GSI", () => {
  const { fake, chip } = interrupts({ lines: [GSI.COM1, GSI.ACPI] });
  assertEquals([...fake.irqfds.values()], [GSI.COM1, GSI.ACPI]);
  chip.pulse(GSI.ACPI);
  const [com1, acpi] = fake.irqfds.keys();
  assertEquals([isSignalled(com1), isSignalled(acpi)], [false, true]);
});

Deno.test("who settles waits for lines that were signalled since the last time, whoever did that, and no others", () => {
  const { fake, arena, chip } = interrupts({ lines: [GSI.COM1, GSI.ACPI] });
  const settled = () => {
    fake.log.length = 0;
    chip.settle();
    return fake.log;
  };
  assertEquals(settled(), []);
  const other = new Interrupts(new Arena(arena.buffer), fake.vm);
  other.pulse(GSI.ACPI);
  assertEquals(settled(), [`deassign ${GSI.ACPI}`, `assign ${GSI.ACPI}`]);
  assertEquals(settled(), []);
});

Deno.test("a route is in the table before its irqfd is assigned, and out after it is taken off", () => {
  const { fake, device } = interrupts();
  fake.log.length = 0;
  device.route(1, 0xFEE0_1000, 0, 0x4041);
  assertEquals(fake.log, ["routes", `assign ${GSI.FIRST_MSI + 1}`]);
  const route = fake.routes.find((r) => r.gsi === GSI.FIRST_MSI + 1);
  assertEquals(route, {
    gsi: GSI.FIRST_MSI + 1,
    type: KVM_IRQ_ROUTING_MSI,
    address_lo: 0xFEE0_1000,
    address_hi: 0,
    data: 0x4041,
  });
  fake.log.length = 0;
  device.unroute(1);
  assertEquals(fake.log, [`deassign ${GSI.FIRST_MSI + 1}`, "routes"]);
  assertFalse(fake.routes.some((r) => r.gsi >= GSI.FIRST_MSI));
  // What is off stays off.
  device.unroute(1);
  assertEquals(fake.log.length, 2);
});

Deno.test("the legacy routes outlive every change of a message's route", () => {
  const { fake, device } = interrupts();
  const legacy = fake.routes.length;
  for (let i = 0; i < 4; i++) device.route(i, 0xFEE0_0000 + i, 0, i);
  assertEquals(fake.routes.length, legacy + 4);
  for (let i = 0; i < 4; i++) device.unroute(i);
  assertEquals(fake.routes.length, legacy);
});

Deno.test("what was signalled before there was a route is delivered by it", () => {
  const { fake, device } = interrupts();
  device.signal(2);
  assertEquals(fake.deliver(), []);
  device.route(2, 0xFEE0_0000, 0, 0x55);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 0x55]]);
});

Deno.test("each device has vectors of its own, the same ones in every thread", () => {
  const { fake, arena, chip, device } = interrupts({ vectors: 6 });
  const other = new Interrupts(new Arena(arena.buffer), fake.vm);
  const same = other.reserve(6);
  same.route(5, 0xFEE0_0000, 0, 9);
  assert(device.isRouted(5));
  assertEquals(device.fd(5), same.fd(5));
  const next = chip.reserve(2);
  assertFalse(next.isRouted(0));
  assertThrows(() => chip.reserve(MAX_MSI), RangeError, "interrupt vectors");
});

Deno.test("all vectors can be routed at once", () => {
  const { fake, device } = interrupts({ vectors: MAX_MSI });
  fake.watchRoutes = false;
  for (let i = 0; i < MAX_MSI; i++) device.route(i, 0xFEE0_0000, 0, i);
  assertEquals(fake.routes.filter((r) => r.type === KVM_IRQ_ROUTING_MSI).length, MAX_MSI);
  assertEquals(fake.routes.at(-1)?.data, MAX_MSI - 1);
});
