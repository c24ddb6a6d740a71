import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Kvm } from "../kvm/kvm.ts";
import { HAS_KVM } from "../kvm/testing/has_kvm.ts";
import { ECAM, portWindows } from "../machine/address_map.ts";
import { eventfd } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { map } from "../sys/mapping.ts";
import type { PlugConfig } from "./control.ts";
import { openPlugged } from "./device_specs.ts";
import { Hotplug } from "./hotplug.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";

const BITS = 39;
const RAM_BYTES = 2 ** 27;
const PORTS = 2;
/** A port's slot control with power and without, everything reported. */
const ON = 0x1129;
const OFF = 0x1729;

/** Registers of port `index`, and of what is behind it. */
const port = (index: number, register: number) =>
  ECAM.start + 31 * 0x8000 + index * 4096 + register;
const behind = (index: number, register: number) =>
  ECAM.start + (1 + index) * ECAM.busLength + register;
const SLOT_CONTROL = 0x58;
const SLOT_STATUS = 0x5A;
const PRESENT = 1 << 6;

interface Machine {
  pc: Pc;
  hotplug: Hotplug;
  /** A vCPU's view. */
  vcpu: Pc;
  /** What happened, in order. */
  log: string[];
  /** What is to happen after a while. */
  later: (() => void)[];
  image: string;
  disk: (serial?: string) => PlugConfig;
}

/** A PC with two ports on a true VM, as its main thread and one vCPU's see it. */
function withPc(test: (machine: Machine) => void): void {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  vm.createIrqchip();
  const ram = map(RAM_BYTES);
  const image = Deno.makeTempFileSync();
  Deno.truncateSync(image, 2 ** 20);
  const spec: PcSpec = {
    arena: new SharedArrayBuffer(arenaBytes(PORTS)),
    memory: { address: ram.address, length: RAM_BYTES },
    vmFd: vm.fd,
    wakeIoFd: eventfd(),
    physicalBits: BITS,
    devices: [{ kind: "rng", options: { name: "rng0" } }],
    hotplugPorts: PORTS,
  };
  const build = () => new Pc(spec, { ended: () => {}, serialReady: () => {} });
  const pc = build();
  pc.powerOn();
  const log: string[] = [];
  const later: (() => void)[] = [];
  const hotplug = new Hotplug(pc, {
    cpus: 1,
    stop: ({ device }) => log.push(`stop ${device.name}`),
    plugged: () => {},
    unplugged: (name) => log.push(`unplugged ${name}`),
    after: (_ms, action) => later.push(action),
    log: (line) => log.push(line),
  });
  const disk = (serial = "A"): PlugConfig => ({ disk: { path: image, readonly: true, serial } });
  try {
    test({ pc, hotplug, vcpu: build(), log, later, image, disk });
  } finally {
    pc.close();
    close(spec.wakeIoFd);
    vm.close();
    kvm.close();
    ram.unmap();
    Deno.removeSync(image);
  }
}

const test = (name: string, check: (machine: Machine) => void) =>
  Deno.test({ name, ignore: !HAS_KVM, fn: () => withPc(check) });

/** How many descriptors of the disk's image are open: tests of other files run beside these. */
const openFds = (image: string) =>
  [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === image;
    } catch {
      return false;
    }
  }).length;
const status = (vcpu: Pc, index: number) => vcpu.memoryBus.read(port(index, SLOT_STATUS), 2);

/** As the guest: gives the device behind port `index` its address; where its BAR is. */
function takeUp(vcpu: Pc, index: number): number {
  const bar = portWindows(index, BITS).memory.start;
  vcpu.memoryBus.write(port(index, 4), 2, 6);
  vcpu.memoryBus.write(port(index, SLOT_CONTROL), 2, ON);
  vcpu.memoryBus.write(behind(index, 0x10), 4, bar);
  vcpu.memoryBus.write(behind(index, 4), 2, 6);
  return bar;
}

test("a disk that is plugged in is there for every thread, and its registers are shared", (m) => {
  const { pc, vcpu, hotplug } = m;
  assertEquals(vcpu.memoryBus.read(behind(0, 0), 4), 0xFFFF_FFFF);
  assertEquals(hotplug.plug(m.disk()), "block0");
  assertEquals(status(vcpu, 0) & PRESENT, PRESENT);
  const bar = takeUp(vcpu, 0);
  for (const thread of [vcpu, pc]) {
    assertEquals(thread.memoryBus.read(behind(0, 0), 4), 0x1042_1AF4);
  }
  vcpu.memoryBus.write(bar + 0x14, 1, 1);
  assertEquals(pc.memoryBus.read(bar + 0x14, 1), 1);
  // The capacity in sectors.
  assertEquals(vcpu.memoryBus.read(bar + 0x4000, 4), 2048);
  assertEquals(pc.virtio.map(({ device }) => device.name), ["rng0", "block0"]);
});

test("a disk that is in a port from the start is found there, and the guest can let go of it", (m) => {
  const { pc, vcpu, hotplug, log } = m;
  const device = m.disk();
  const spec = openPlugged(device, { name: "block3", cpus: 1 });
  const built = pc.slots[1].fill(spec);
  pc.virtio.push(built.transport);
  hotplug.takeOn({ name: "block3", slot: 1, device, spec, ...built });
  assertEquals(hotplug.devices(), [{ name: "block3", slot: 1, device }]);
  for (const thread of [vcpu, pc]) {
    assertEquals(thread.memoryBus.read(behind(1, 0), 4), 0x1042_1AF4);
  }
  // Its address is that of the port; its driver turns both on.
  const bar = portWindows(1, BITS).memory.start;
  assertEquals(vcpu.memoryBus.read(behind(1, 0x10), 4), bar + 4);
  for (const at of [port(1, 4), behind(1, 4)]) vcpu.memoryBus.write(at, 2, 6);
  assertEquals(vcpu.memoryBus.read(bar + 0x4000, 4), 2048);
  // The other port is free, and the name taken.
  assertEquals(hotplug.plug(m.disk("B")), "block0");
  hotplug.unplug("block3");
  vcpu.memoryBus.write(port(1, SLOT_CONTROL), 2, OFF);
  hotplug.serve();
  assertEquals(log, ["stop block3", "stop block3", "unplugged block3"]);
  hotplug.unplug("block0", { force: true });
  assertEquals(openFds(m.image), 0);
});

test("a disk that the guest lets go of is stopped, told of and closed", (m) => {
  const { vcpu, hotplug, log } = m;
  assertEquals(hotplug.plug(m.disk()), "block0");
  takeUp(vcpu, 0);
  hotplug.unplug("block0");
  assertThrows(() => hotplug.unplug("block0"), RangeError, "the guest is already at it");
  hotplug.serve();
  assertEquals([log, status(vcpu, 0) & 1], [[], 1]);
  vcpu.memoryBus.write(port(0, SLOT_CONTROL), 2, OFF);
  assertEquals(vcpu.memoryBus.read(behind(0, 0), 4), 0xFFFF_FFFF);
  hotplug.serve();
  assertEquals(log, ["stop block0", "stop block0", "unplugged block0"]);
  assertEquals(status(vcpu, 0) & PRESENT, 0);
  assertEquals(openFds(m.image), 0);
  // Again, and it is another disk.
  hotplug.plug(m.disk());
  takeUp(vcpu, 0);
  assertEquals(vcpu.memoryBus.read(behind(0, 0), 4), 0x1042_1AF4);
});

test("the button of a guest that took no notice is pressed again, until it is of no use", (m) => {
  const { vcpu, hotplug, log, later } = m;
  const pressed = () => status(vcpu, 0) & 1;
  const takesNoNotice = () => vcpu.memoryBus.write(port(0, SLOT_STATUS), 2, 1);
  hotplug.plug(m.disk());
  takeUp(vcpu, 0);
  hotplug.unplug("block0");
  for (let presses = 1; presses < 8; presses++) {
    takesNoNotice();
    assertEquals(pressed(), 0);
    later.shift()!();
    assertEquals(pressed(), 1);
  }
  takesNoNotice();
  later.shift()!();
  assertEquals([pressed(), later.length], [0, 0]);
  assertEquals(log, ["The guest does not let go of block0: it can be taken out by force"]);
  // A person may try again, and this time it does.
  hotplug.unplug("block0");
  assertEquals([pressed(), later.length], [1, 1]);
  vcpu.memoryBus.write(port(0, SLOT_CONTROL), 2, OFF);
  hotplug.serve();
  later.shift()!();
  assertEquals([log.at(-1), later.length], ["unplugged block0", 0]);
});

test("a slot that the guest turns off and on by itself keeps its disk, which is as new", (m) => {
  const { vcpu, hotplug, log } = m;
  hotplug.plug(m.disk());
  const bar = takeUp(vcpu, 0);
  for (let i = 0; i < 20; i++) {
    vcpu.memoryBus.write(bar + 0x14, 1, 1);
    assertEquals(vcpu.memoryBus.read(bar + 0x14, 1), 1);
    vcpu.memoryBus.write(port(0, SLOT_CONTROL), 2, OFF);
    vcpu.memoryBus.write(port(0, SLOT_CONTROL), 2, ON);
    assertEquals(vcpu.memoryBus.read(behind(0, 0), 4), 0xFFFF_FFFF);
    hotplug.serve();
    takeUp(vcpu, 0);
    assertEquals(vcpu.memoryBus.read(bar + 0x14, 1), 0);
  }
  assertEquals(log, new Array(20).fill("stop block0"));
});

test("a disk that is torn out answers nobody any more", (m) => {
  const { pc, vcpu, hotplug, log } = m;
  hotplug.plug(m.disk());
  const bar = takeUp(vcpu, 0);
  vcpu.memoryBus.write(bar + 0x14, 1, 1);
  hotplug.unplug("block0", { force: true });
  assertEquals(log, ["stop block0", "unplugged block0"]);
  assertEquals(vcpu.memoryBus.read(behind(0, 0), 4), 0xFFFF_FFFF);
  // What Linux's driver waits for when it lets go of its device.
  assertEquals(vcpu.memoryBus.read(bar + 0x14, 1), 0);
  assertEquals(pc.virtio.length, 1);
  hotplug.serve();
  assertThrows(() => hotplug.unplug("block0"), RangeError, "there is no such device");
});

test("more devices than ports, or one that was there from the start, are refused", (m) => {
  const { hotplug } = m;
  assertEquals([hotplug.plug(m.disk()), hotplug.plug(m.disk("B"))], ["block0", "block1"]);
  assertThrows(() => hotplug.plug(m.disk()), RangeError, "all 2 hot-plug ports are taken");
  assertThrows(() => hotplug.unplug("rng0"), RangeError, "it was there when the guest started");
  assertEquals(openFds(m.image), 2);
  hotplug.unplug("block0", { force: true });
  // What cannot be made leaves the slot free and nothing open.
  assertThrows(() => hotplug.plug(m.disk("x".repeat(21))), RangeError, "serial number");
  assertEquals(openFds(m.image), 1);
  assertEquals(hotplug.plug(m.disk()), "block0");
});

test("whatever a guest does with its ports and cards, its VMM does not stumble", (m) => {
  const { pc, vcpu, hotplug } = m;
  const registers = [0, 1].flatMap((i) => [
    ...[4, 0x10, 0x14, 0x40, 0x98, 0x9C].map((at) => behind(i, at)),
    ...[4, 0x18, 0x20, 0x3E, SLOT_CONTROL, SLOT_STATUS, 0x7C, 0x7E].map((at) => port(i, at)),
    ...[0, 0x14, 0x16, 0x1C, 0x4000, 0x6000, 0x8000, 0x800C].map((at) =>
      portWindows(i, BITS).memory.start + at
    ),
  ]);
  const value = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 6, 0xB, 0xF, 0x40, ON, OFF, 0x8000, 0xFFFF, 0xFFFF_FFFF),
    fc.integer({ min: 0, max: 0xFFFF_FFFF }),
  );
  const access = fc.record({
    at: fc.constantFrom(...registers),
    size: fc.constantFrom(1, 2, 4),
    value,
    host: fc.constantFrom("", "", "", "serve", "plug", "unplug", "force", "take"),
  });
  fc.assert(
    fc.property(fc.array(access, { minLength: 20, maxLength: 80 }), (accesses) => {
      for (const { at, size, value, host } of accesses) {
        vcpu.memoryBus.write(at, size, value % 2 ** (8 * size));
        const read = vcpu.memoryBus.read(at, size);
        assert(Number.isInteger(read) && read >= 0 && read <= 0xFFFF_FFFF);
        const plugged = pc.virtio[1]?.device.name;
        if (host === "serve") hotplug.serve();
        else if (host === "take") takeUp(vcpu, 0);
        else if (host === "plug" && pc.virtio.length <= PORTS) hotplug.plug(m.disk());
        else if (host === "force" && plugged) hotplug.unplug(plugged, { force: true });
        else if (host === "unplug" && plugged) {
          try {
            hotplug.unplug(plugged);
          } catch (error) {
            assert(error instanceof RangeError);
          }
        }
      }
      for (const { device } of pc.virtio.slice(1)) hotplug.unplug(device.name, { force: true });
    }),
    { numRuns: 60 },
  );
  assertEquals(openFds(m.image), 0);
});
