import { assert, assertEquals, assertThrows } from "@std/assert";
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { Kvm } from "../kvm/kvm.ts";
import { HAS_KVM } from "../kvm/testing/has_kvm.ts";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../machine/dirty_pages.ts";
import { GuestMemory } from "../machine/memory.ts";
import { map } from "../sys/mapping.ts";
import { ChangeLog, DirtyTracking } from "./dirty_tracking.ts";

const LENGTH = 1 << 20;

/** A VM with memory and no vCPU; `devices` are asked to log. */
function withTracking(
  devices: Pick<VirtioDevice, "logWrites">[],
  run: (rig: { tracking: DirtyTracking; memory: GuestMemory }) => void,
): void {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  const ram = map(LENGTH);
  vm.setMemoryRegion(0, { guest: 0, size: LENGTH, host: ram.address });
  const memory = new GuestMemory(ram.address, LENGTH);
  const guest = { memory, vmFd: vm.fd, devices: () => devices as VirtioDevice[] };
  try {
    run({ tracking: new DirtyTracking(guest), memory });
  } finally {
    vm.close();
    kvm.close();
    ram.unmap();
  }
}

function test(name: string, fn: () => void): void {
  Deno.test({ name, ignore: !HAS_KVM, fn });
}

function collected(log: Pick<ChangeLog, "collect">): number[] {
  const set = DirtyPages.of(LENGTH);
  log.collect(set);
  return Array.from({ length: set.capacity }, (_, page) => page).filter((page) => set.has(page));
}

test("changes are told once, to whichever thread asks, and again where they are given back", () => {
  withTracking([], ({ tracking, memory }) => {
    assertThrows(() => collected(tracking), Error, "Cannot collect changes: they are not tracked");
    const spec = tracking.start();
    assertThrows(() => tracking.start(), Error, "they are tracked already");
    // As another thread would, from what passes by structured clone.
    const log = new ChangeLog(structuredClone(spec));
    log.forget();
    memory.changed(3 * DIRTY_PAGE_BYTES, 1);
    assertEquals(collected(log), [3]);
    assertEquals(collected(tracking), []);
    const taken = DirtyPages.of(LENGTH);
    memory.changed(5 * DIRTY_PAGE_BYTES, 2 * DIRTY_PAGE_BYTES);
    log.collect(taken);
    log.giveBack(taken);
    assertEquals(collected(tracking), [5, 6]);
    memory.changed(0, 1);
    log.forget();
    assertEquals(collected(tracking), []);
    log.close();
    tracking.stop();
    tracking.stop();
    assertEquals([memory.changes, memory.vhostLog], [undefined, undefined]);
    // And anew.
    tracking.start();
    tracking.stop();
  });
});

test("a device that cannot log refuses it, and then nobody does", () => {
  const told: string[] = [];
  let canLog = false;
  const devices = [
    { logWrites: (on: boolean) => void told.push(`first ${on}`) },
    {},
    {
      logWrites(on: boolean) {
        told.push(`second ${on}`);
        if (on && !canLog) throw new Error("Cannot log what second writes");
      },
    },
  ];
  withTracking(devices, ({ tracking, memory }) => {
    assertThrows(() => tracking.start(), Error, "Cannot log what second writes");
    assertEquals(told.splice(0), ["first true", "second true", "first false", "second false"]);
    assertEquals([memory.changes, memory.vhostLog], [undefined, undefined]);
    assertEquals(tracking.spec, undefined);
    canLog = true;
    tracking.start();
    assert(memory.vhostLog !== undefined && memory.changes !== undefined);
    assertEquals(told.splice(0), ["first true", "second true"]);
    tracking.stop();
    assertEquals(told, ["first false", "second false"]);
  });
});
