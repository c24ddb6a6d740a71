import { assert, assertEquals, assertFalse } from "@std/assert";
import { EXPRESS, INDICATOR, SLOT_CONTROL, SLOT_STATUS } from "./express.ts";
import { ECAM, portWindows } from "../address_map.ts";
import { BRIDGE } from "./bridge.ts";
import { PCI } from "./function.ts";
import { ALL_ON, BITS, EXPRESS_AT, hotplugPc, MSI_AT } from "./testing/hotplug_pc.ts";

const { ATTENTION_BUTTON, LINK_CHANGED, PRESENCE_CHANGED, PRESENT } = SLOT_STATUS;
const OFF = ALL_ON & ~INDICATOR.OFF | INDICATOR.OFF | SLOT_CONTROL.POWER_OFF;

Deno.test("ports are functions of one device, bridges with a bus and windows of their own", () => {
  using pc = hotplugPc();
  const { vcpu } = pc;
  for (const index of [0, 1]) {
    assertEquals(vcpu.config(index, PCI.CLASS_DEVICE), 0x0604);
    assertEquals(vcpu.config(index, PCI.HEADER_TYPE, 1), 0x81);
    assertEquals(vcpu.config(index, BRIDGE.SECONDARY_BUS, 1), 1 + index);
    assertEquals(vcpu.config(index, BRIDGE.SUBORDINATE_BUS, 1), 1 + index);
    const { memory, prefetchable } = portWindows(index, BITS);
    assertEquals(vcpu.config(index, BRIDGE.MEMORY_BASE) * 0x10000, memory.start);
    const last = memory.start + memory.length - 2 ** 20;
    assertEquals(vcpu.config(index, BRIDGE.MEMORY_LIMIT) * 0x10000, last);
    const low = (vcpu.config(index, BRIDGE.PREFETCHABLE_BASE) & 0xFFF0) * 0x10000;
    const high = vcpu.config(index, BRIDGE.PREFETCHABLE_BASE_HIGH, 4);
    assertEquals(high * 2 ** 32 + low, prefetchable.start);
    // No I/O window, however it is asked for.
    vcpu.configure(index, 0x1C, 0xE0F0);
    assertEquals(vcpu.config(index, 0x1C), 0);
  }
  assertEquals(vcpu.config(2, PCI.VENDOR_ID), 0xFFFF);
});

Deno.test("a port says that it has a slot with button, power and indicator, and its number", () => {
  using pc = hotplugPc();
  const { vcpu } = pc;
  assertEquals(vcpu.config(0, PCI.CAPABILITY_LIST, 1), EXPRESS_AT);
  assertEquals(vcpu.config(0, EXPRESS_AT, 1), 0x10);
  assertEquals(vcpu.config(0, EXPRESS_AT + EXPRESS.CAPABILITIES), 0x0142);
  assertEquals(vcpu.config(0, EXPRESS_AT + 1, 1), MSI_AT);
  assertEquals(vcpu.config(0, MSI_AT), 0x05);
  for (const index of [0, 1]) {
    const slot = vcpu.config(index, EXPRESS_AT + EXPRESS.SLOT_CAPABILITIES, 4);
    assertEquals(slot, (1 + index) << 19 | 0x4_0073);
    assertEquals(vcpu.config(index, EXPRESS_AT + EXPRESS.SLOT_CONTROL) & 0x700, 0x700);
  }
});

Deno.test("a card that comes is told of, appears with its power, and in every thread", () => {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  vcpu.startDriver(0);
  vcpu.slotControl(0, OFF);
  assertEquals([vcpu.vendor(1), fake.deliver()], [0xFFFF, []]);
  main.insert(0);
  // Linux listens for the button alone where there is one.
  assertEquals(vcpu.slotStatus, [ATTENTION_BUTTON | PRESENT | PRESENCE_CHANGED, 0]);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 0]]);
  assertEquals([vcpu.vendor(1), vcpu.linkActive(0)], [0xFFFF, false]);
  vcpu.clearStatus(0);
  vcpu.slotControl(0, ALL_ON);
  assertEquals(vcpu.slotStatus, [PRESENT | LINK_CHANGED, 0]);
  assertEquals(fake.deliver(), [[0xFEE0_0000, 0]]);
  assert(vcpu.linkActive(0));
  assertEquals([vcpu.vendor(1), main.vendor(1), vcpu.vendor(2)], [0x1AF4, 0x1AF4, 0xFFFF]);
  const address = vcpu.mapCard(0);
  assertEquals([vcpu.memory.read(address + 8, 4), main.memory.read(address, 4)], [0x1008, 0x1000]);
});

Deno.test("a card that was there from the start has power and an address, and is no news", () => {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  main.fill(0);
  assertEquals(vcpu.slotStatus, [PRESENT, 0]);
  assertEquals([vcpu.linkActive(0), vcpu.vendor(1), vcpu.vendor(2)], [true, 0x1AF4, 0xFFFF]);
  const control = [0, 1].map((i) => vcpu.config(i, EXPRESS_AT + EXPRESS.SLOT_CONTROL));
  assertEquals(control, [INDICATOR.ON, INDICATOR.OFF | SLOT_CONTROL.POWER_OFF]);
  const { start } = portWindows(0, BITS).memory;
  const bar = ECAM.start + ECAM.busLength + PCI.BASE_ADDRESS_0;
  assertEquals(vcpu.memory.read(bar, 4), start + 4);
  vcpu.startDriver(0);
  assertEquals(fake.deliver(), []);
  // All that its driver has to do is to turn it on.
  vcpu.memory.write(ECAM.start + ECAM.busLength + PCI.COMMAND, 2, 2);
  assertEquals(vcpu.memory.read(start, 4), 0x1000);
  assert(main.ports[0].press());
  vcpu.slotControl(0, OFF);
  assertEquals(vcpu.cut, [0]);
  main.ports[0].remove();
  assertEquals([vcpu.slotStatus[0] & PRESENT, vcpu.vendor(1)], [0, 0xFFFF]);
});

Deno.test("a card answers where its port leads, and only there", () => {
  using pc = hotplugPc();
  const { main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  const address = vcpu.mapCard(0, 0x10_0000);
  const answers = () => vcpu.memory.read(address, 4) === 0x1000;
  assert(answers());
  vcpu.configure(0, PCI.COMMAND, 0);
  assertFalse(answers());
  vcpu.configure(0, PCI.COMMAND, 2);
  vcpu.configure(0, BRIDGE.MEMORY_LIMIT, vcpu.config(0, BRIDGE.MEMORY_BASE));
  assertFalse(answers());
  vcpu.configure(0, BRIDGE.MEMORY_BASE, 0xFFFF);
  assertFalse(answers());
  // The prefetchable window may lie there as well.
  vcpu.configure(0, BRIDGE.PREFETCHABLE_BASE, address / 0x10000);
  vcpu.configure(0, BRIDGE.PREFETCHABLE_LIMIT, address / 0x10000);
  vcpu.configure(0, BRIDGE.PREFETCHABLE_LIMIT_HIGH, 0, 4);
  assertFalse(answers());
  vcpu.configure(0, BRIDGE.PREFETCHABLE_BASE_HIGH, 0, 4);
  assert(answers());
  // Its bus is what the guest says it is.
  vcpu.configure(0, BRIDGE.SECONDARY_BUS, 2, 1);
  vcpu.configure(1, BRIDGE.SECONDARY_BUS, 1, 1);
  assertEquals([vcpu.vendor(1), vcpu.vendor(2)], [0xFFFF, 0x1AF4]);
});

Deno.test("the button is pressed once, and again only when the guest has done nothing with it", () => {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  vcpu.clearStatus(0);
  fake.deliver();
  const port = main.ports[0];
  assert(port.press());
  assertEquals(vcpu.slotStatus, [PRESENT | ATTENTION_BUTTON, 0]);
  assertEquals(fake.deliver().length, 1);
  assertFalse(port.press());
  vcpu.clearStatus(0);
  vcpu.slotControl(0, ALL_ON & ~INDICATOR.OFF | INDICATOR.BLINK);
  assertFalse(port.press());
  vcpu.slotControl(0, ALL_ON);
  assert(port.press());
  assertEquals(fake.deliver().length, 1);
});

Deno.test("a card without power is gone until it was reset, then as new", () => {
  using pc = hotplugPc();
  const { main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  const address = vcpu.mapCard(0);
  const off = [
    [() => vcpu.slotControl(0, OFF), () => vcpu.slotControl(0, ALL_ON)],
    [() => vcpu.configure(0, BRIDGE.CONTROL, 0x40), () => vcpu.configure(0, BRIDGE.CONTROL, 0)],
  ];
  for (const [cut, restore] of off) {
    vcpu.mapCard(0);
    cut();
    assertEquals(vcpu.cut.splice(0), [0]);
    assert(main.ports[0].isSettling && main.ports[0].isOccupied);
    assertEquals(vcpu.slotStatus[0] & PRESENT, PRESENT);
    assertEquals([vcpu.vendor(1), vcpu.memory.read(address, 4)], [0xFFFF, 0xFFFF_FFFF]);
    restore();
    // Power is back, and the card still busy with what it did before.
    assertEquals([vcpu.vendor(1), vcpu.linkActive(0)], [0xFFFF, false]);
    main.ports[0].settled();
    assertEquals([vcpu.vendor(1), vcpu.linkActive(0)], [0x1AF4, true]);
    assertEquals(vcpu.memory.read(address, 4), 0xFFFF_FFFF);
  }
});

Deno.test("a card that is taken out is gone for every thread, and the next is another", () => {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  vcpu.mapCard(0);
  const first = vcpu.ports[0].occupant;
  vcpu.slotControl(0, OFF);
  vcpu.clearStatus(0);
  fake.deliver();
  main.ports[0].remove();
  assertEquals(vcpu.slotStatus, [PRESENCE_CHANGED, 0]);
  assertEquals(fake.deliver().length, 1);
  assertEquals(vcpu.ports[0].occupant, undefined);
  main.insert(0);
  const second = vcpu.ports[0].occupant;
  assert(second !== undefined && second !== first);
  assertEquals(second.mapped, 0);
});

Deno.test("where a card was torn out reads are 0, until the guest has cut the slot's power", () => {
  using pc = hotplugPc();
  const { main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  const address = vcpu.mapCard(0);
  main.ports[0].remove();
  assertEquals(vcpu.slotStatus[0], PRESENCE_CHANGED | LINK_CHANGED);
  assertEquals([vcpu.vendor(1), vcpu.linkActive(0)], [0xFFFF, false]);
  assertEquals([vcpu.memory.read(address, 4), main.memory.read(address + 0xFFC, 4)], [0, 0]);
  assertEquals(vcpu.memory.read(address + 0x1000, 4), 0xFFFF_FFFF);
  vcpu.slotControl(0, OFF);
  assertEquals(vcpu.memory.read(address, 4), 0xFFFF_FFFF);
  // Nothing is in there any more to lose its power.
  assertEquals(vcpu.cut, []);
});

Deno.test("a card that follows at once on one that was torn out does not hide that from the guest", () => {
  using pc = hotplugPc();
  const { main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  const address = vcpu.mapCard(0);
  vcpu.clearStatus(0);
  main.ports[0].remove();
  main.insert(0);
  assertEquals(vcpu.slotStatus[0], PRESENT | PRESENCE_CHANGED | LINK_CHANGED);
  assertEquals([vcpu.vendor(1), vcpu.memory.read(address, 4)], [0x1AF4, 0]);
  // In the place of the first, the second answers.
  vcpu.mapCard(0);
  assertEquals(vcpu.memory.read(address, 4), 0x1000);
  vcpu.slotControl(0, OFF);
  main.ports[0].settled();
  vcpu.slotControl(0, ALL_ON);
  assertEquals([vcpu.vendor(1), vcpu.memory.read(address, 4)], [0x1AF4, 0xFFFF_FFFF]);
});

Deno.test("the interrupt is a message for each time that there begins to be something to tell", () => {
  using pc = hotplugPc();
  const { fake, main, vcpu } = pc;
  vcpu.startDriver(0);
  main.insert(0);
  assertEquals(fake.deliver().length, 1);
  // Something more while the guest has not looked yet.
  main.ports[0].press();
  assertEquals(fake.deliver().length, 0);
  vcpu.configure(0, EXPRESS_AT + EXPRESS.SLOT_STATUS, ATTENTION_BUTTON);
  assertEquals([fake.deliver().length, vcpu.slotStatus[0] & ATTENTION_BUTTON], [0, 0]);
  vcpu.clearStatus(0);
  assertEquals(vcpu.slotStatus[0], PRESENT);
  main.ports[0].press();
  assertEquals(fake.deliver().length, 1);
  // Enabled late, the interrupt comes at once.
  vcpu.clearStatus(0);
  vcpu.slotControl(0, ALL_ON & ~SLOT_CONTROL.INTERRUPT_ENABLE);
  main.ports[0].remove();
  assertEquals(fake.deliver().length, 0);
  vcpu.slotControl(0, ALL_ON);
  assertEquals(fake.deliver().length, 1);
});
