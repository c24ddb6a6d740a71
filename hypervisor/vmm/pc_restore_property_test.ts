/**
 * A PC over registers that somebody made up: it refuses them, or does with them what a PC does.
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import { openDisk } from "../devices/virtio/disk.ts";
import { VirtioPciV1 } from "../devices/virtio/common_config.ts";
import { BAR } from "../devices/virtio/pci_capabilities.ts";
import { Kvm } from "../kvm/kvm.ts";
import { HAS_KVM } from "../kvm/testing/has_kvm.ts";
import { ECAM, MMIO32, mmio64, PORT } from "../machine/address_map.ts";
import type { Section } from "../machine/arena.ts";
import { eventfd } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { map } from "../sys/mapping.ts";
import type { DeviceSpec } from "./device_specs.ts";
import { EventLoop } from "./event_loop.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";
import { VirtioService } from "./virtio_service.ts";

const BITS = 39;
const RAM_BYTES = 2 ** 27;
const PORTS = 1;

interface Edit {
  /** Which section, and where in it: both as parts of 1. */
  section: number;
  at: number;
  bytes: Uint8Array;
}

/** Devices that say they were in use, with every queue; where their rings lie is nowhere, or anywhere. */
const inUse = fc.record({ frozen: fc.boolean(), size: fc.constantFrom(0, 1, 64, 256, 3) });

const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    section: fc.double({ min: 0, max: 0.999, noNaN: true }),
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }),
  }),
  { maxLength: 12 },
);

/** Calls `use` with a PC that is made of these registers; with one that has power without. */
function withPc(
  devices: DeviceSpec[],
  saved: Map<string, Section> | undefined,
  use: (pc: Pc) => void,
): void {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  vm.createIrqchip();
  const ram = map(RAM_BYTES);
  const wakeIoFd = eventfd();
  const spec: PcSpec = {
    arena: new SharedArrayBuffer(arenaBytes(PORTS)),
    memory: { address: ram.address, length: RAM_BYTES },
    ...{ vmFd: vm.fd, wakeIoFd, physicalBits: BITS, devices, hotplugPorts: PORTS },
  };
  const pc = new Pc(spec, { ended: () => {}, serialReady: () => {} });
  try {
    if (saved === undefined) pc.powerOn();
    else pc.restore(saved, () => {});
    use(pc);
  } finally {
    pc.close();
    close(wakeIoFd);
    vm.close();
    kvm.close();
    ram.unmap();
  }
}

/** Every register of every device, and what its main loop does first. */
function exercise(pc: Pc): void {
  const loop = new EventLoop();
  const service = new VirtioService(pc, {
    loop,
    host: { violated: () => {}, pause: () => {}, resume: () => {} },
  });
  service.restore();
  pc.serial.transmit();
  pc.serial.receive(Uint8Array.of(1));
  for (let slot = 0; slot < 4; slot++) {
    for (let at = 0; at < 256; at += 4) pc.memoryBus.read(ECAM.start + slot * 0x8000 + at, 4);
  }
  for (const start of [MMIO32.start, mmio64(BITS).start]) {
    for (let at = 0; at < 4 * BAR.SIZE; at += 0x1000) pc.memoryBus.read(start + at, 4);
  }
  for (const base of [PORT.COM1, PORT.RTC, PORT.PCI_CONFIG_DATA]) {
    for (let at = 0; at < 2; at++) pc.portBus.read(base + at, 1);
  }
  let over = false;
  loop.after(0, () => over = true);
  loop.run(() => over);
  service.close();
}

Deno.test({
  name: "registers that are made up are refused, or are a PC's",
  ignore: !HAS_KVM,
  fn() {
    const image = Deno.makeTempFileSync();
    Deno.truncateSync(image, 2 ** 20);
    const disk = openDisk(image, {});
    const devices: DeviceSpec[] = [
      { kind: "block", options: { name: "block0", disk } },
      { kind: "rng", options: { name: "rng0" } },
      { kind: "balloon", options: { name: "balloon0", memoryMiB: 128 } },
      { kind: "console", options: { name: "console0", ports: [] } },
    ];
    let good = new Map<string, Section>();
    withPc(devices, undefined, (pc) => good = pc.arena.sections());
    const names = [...good.keys()];
    let taken = 0;
    try {
      fc.assert(
        fc.property(edits, inUse, (edits, { frozen, size }) => {
          const saved = new Map(
            [...good].map((
              [name, { version, bytes }],
            ) => [name, { version, bytes: bytes.slice() }]),
          );
          for (const [name, { bytes }] of saved) {
            if (!name.endsWith(".virtio") || !frozen) continue;
            const registers = VirtioPciV1.at(bytes.buffer);
            registers.frozen = 1;
            registers.status[0] = 0xF;
            registers.queue_enable.fill(1);
            registers.queue_size.fill(size);
            for (let i = 0; i < registers.queue_desc.length; i += 2) {
              registers.queue_desc[i] = registers.queue_driver[i] = 0x100_0000 + 0x4000 * i;
              registers.queue_device[i] = 0x100_0000 + 0x4000 * i + 0x2000;
            }
          }
          for (const { section, at, bytes } of edits) {
            const it = saved.get(names[Math.floor(section * names.length)])!.bytes;
            const from = Math.floor(at * it.length);
            it.set(bytes.subarray(0, it.length - from), from);
          }
          let error: unknown;
          try {
            withPc(devices, saved, (pc) => {
              try {
                exercise(pc);
                taken++;
              } catch (cause) {
                error = cause;
              }
            });
          } catch (refusal) {
            if (!(refusal instanceof RangeError)) throw refusal;
          }
          if (error !== undefined) throw error;
        }),
        { numRuns: 60 },
      );
      assert(taken > 0);
    } finally {
      close(disk.fd);
      Deno.removeSync(image);
    }
  },
});
