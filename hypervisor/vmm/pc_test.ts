import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { Kvm } from "../kvm/kvm.ts";
import { HAS_KVM } from "../kvm/testing/has_kvm.ts";
import { ECAM, MMIO32, mmio64, PORT } from "../machine/address_map.ts";
import { ARENA_BYTES } from "../machine/arena.ts";
import { openDisk } from "../devices/virtio/disk.ts";
import { BAR } from "../devices/virtio/pci_capabilities.ts";
import { eventfd } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { map } from "../sys/mapping.ts";
import type { DeviceSpec } from "./device_specs.ts";
import { Pc, type PcSpec } from "./pc.ts";

const BITS = 39;
const RAM_BYTES = 2 ** 27;

/** A PC on a true VM, without vCPUs: `other()` is what another thread of its VMM would build. */
function withPc(test: (pc: Pc, other: () => Pc, ends: string[]) => void): void {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  vm.createIrqchip();
  const ram = map(RAM_BYTES);
  const image = Deno.makeTempFileSync();
  Deno.truncateSync(image, 2 ** 20);
  const disk = openDisk(image, {});
  const devices: DeviceSpec[] = [
    { kind: "block", options: { name: "block0", disk } },
    { kind: "rng", options: { name: "rng0" } },
  ];
  const spec: PcSpec = {
    arena: new SharedArrayBuffer(ARENA_BYTES),
    memory: { address: ram.address, length: RAM_BYTES },
    vmFd: vm.fd,
    wakeIoFd: eventfd(),
    physicalBits: BITS,
    devices,
    hotplugPorts: 0,
  };
  const ends: string[] = [];
  const build = () => new Pc(spec, { ended: (reason) => ends.push(reason), serialReady: () => {} });
  const pc = build();
  pc.powerOn();
  try {
    test(pc, build, ends);
  } finally {
    pc.close();
    close(disk.fd);
    close(spec.wakeIoFd);
    vm.close();
    kvm.close();
    ram.unmap();
    Deno.removeSync(image);
  }
}

const test = (name: string, fn: () => void) => Deno.test({ name, ignore: !HAS_KVM, fn });

const config = (slot: number, register: number) => ECAM.start + slot * 0x8000 + register;

test("every thread builds the same PC over the same registers", () => {
  withPc((pc, other) => {
    const twin = other();
    pc.portBus.write(PORT.COM1 + 7, 1, 0x5A);
    assertEquals(twin.portBus.read(PORT.COM1 + 7, 1), 0x5A);
    pc.memoryBus.write(config(1, 4), 2, 2);
    const bar = mmio64(BITS).start;
    twin.memoryBus.write(bar + 0x14, 1, 1);
    assertEquals(pc.memoryBus.read(bar + 0x14, 1), 1);
    assertEquals(twin.virtio[0].function.mapped, bar);
  });
});

test("a guest finds its devices in the order of its configuration, the BARs beside each other", () => {
  withPc((pc) => {
    const ids = [1, 2, 3].map((slot) => pc.memoryBus.read(config(slot, 2), 2));
    assertEquals(ids, [0x1042, 0x1044, 0xFFFF]);
    for (const [i, slot] of [1, 2].entries()) {
      const low = pc.memoryBus.read(config(slot, 0x10), 4) & ~0xF;
      const high = pc.memoryBus.read(config(slot, 0x14), 4);
      assertEquals(high * 2 ** 32 + low, mmio64(BITS).start + i * BAR.SIZE);
    }
  });
});

test("whatever a guest does to ports and registers, its VMM does not stumble", () => {
  const window = mmio64(BITS).start;
  const address = fc.oneof(
    fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xFF }))
      .map(([slot, register]) => config(slot, register)),
    fc.integer({ min: 0, max: 2 * BAR.SIZE }).map((offset) => window + offset),
    fc.integer({ min: 0, max: 0x3F }).map((offset) => window + offset),
    fc.integer({ min: 0, max: 0x4F }).map((offset) => window + BAR.MSIX_TABLE + offset),
    fc.integer({ min: 0, max: BAR.SIZE }).map((offset) => MMIO32.start + offset),
    fc.maxSafeInteger().map(Math.abs),
  );
  const port = fc.oneof(
    fc.integer({ min: 0, max: 7 }).map((offset) => PORT.COM1 + offset),
    fc.integer({ min: 0, max: 7 }).map((offset) => PORT.PCI_CONFIG_ADDRESS + offset),
    fc.integer({ min: 0, max: 3 }).map((offset) => PORT.ACPI + offset),
    fc.integer({ min: 0, max: 0xFFFF }),
  );
  const value = fc.oneof(
    fc.integer({ min: 0, max: 0xFFFF_FFFF }),
    fc.constantFrom(
      0,
      1,
      2,
      3,
      0xB,
      0xF,
      0x8000,
      0xC000,
      0xFFFF_FFFF,
      0xC000_0000,
      window / 2 ** 32,
    ),
  );
  const access = fc.record({
    at: fc.oneof(
      address.map((a) => ({ bus: "memoryBus" as const, address: a })),
      port.map((p) => ({ bus: "portBus" as const, address: p })),
    ),
    size: fc.constantFrom(1, 2, 4),
    value,
  });
  fc.assert(
    fc.property(fc.array(access, { minLength: 20, maxLength: 120 }), (accesses) => {
      withPc((pc) => {
        // Decoding is on, or most of the accesses would reach nobody.
        for (const slot of [1, 2]) pc.memoryBus.write(config(slot, 4), 2, 2);
        for (const { at, size, value } of accesses) {
          const bus = pc[at.bus];
          bus.write(at.address, size, value % 2 ** (8 * size));
          const read = bus.read(at.address, size);
          assert(Number.isInteger(read) && read >= 0 && read <= 0xFFFF_FFFF);
          // The main loop would stop what is to be reset.
          for (const transport of pc.virtio) {
            if (transport.pending === "reset") transport.resetDone();
          }
        }
      });
    }),
    { numRuns: 30 },
  );
});
