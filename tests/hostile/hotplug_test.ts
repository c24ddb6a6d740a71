/**
 * A guest with a hot-plug port, which does with it what it should, and what it should not.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { BRIDGE } from "../../hypervisor/machine/pci/bridge.ts";
import { EXPRESS, SLOT_STATUS } from "../../hypervisor/machine/pci/express.ts";
import { VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { COMMON } from "../../hypervisor/devices/virtio/common_config.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { AT_PORT, EXPRESS_AT, OFF, ON, ONES, Slot, WINDOW } from "./hotplug_slot.ts";

/** Cases after which the host does something. */
const EMPTY = "an empty slot leads nowhere, and its power is off";
const WORKS = "a disk that is plugged in works";
const GONE = "a disk that the guest lets go of is gone";
const READY = "a disk bears every abuse of its port, and works after it";
const TORN = "a disk that is torn out reads 0 until its power is cut, then all ones";

function guest(): GuestProgram {
  const program = new GuestProgram();
  const slot = new Slot(program);
  const bystander = new BlockDriver(program, { nth: 0 });
  bystander.virtio.start();
  slot.restore();

  program.case(EMPTY, () => {
    slot.expectNothing();
    program.read(EXPRESS_AT + EXPRESS.SLOT_CONTROL, 2);
    program.expect("slot control", OFF);
    program.read(WINDOW.start, 4);
    program.expect("the window", ONES);
  });

  slot.waitForDisk();
  const disk = new BlockDriver(program, { bus: 1, bar: WINDOW.start });
  const comesBack = () => {
    disk.virtio.moveBar(WINDOW.start);
    disk.recovers();
  };
  program.case(WORKS, () => disk.recovers());

  slot.waitForStatus(SLOT_STATUS.ATTENTION_BUTTON, SLOT_STATUS.ATTENTION_BUTTON);
  program.case(GONE, () => {
    slot.clearStatus();
    slot.control(OFF);
    slot.waitForStatus(0, SLOT_STATUS.PRESENT);
    slot.expectNothing();
    program.read(WINDOW.start + COMMON.DEVICE_STATUS, 1);
    program.expect("the window", 0xFF);
    bystander.readsSector(1);
  });

  slot.waitForDisk();
  disk.virtio.moveBar(WINDOW.start);
  program.case("a slot that is turned off and on in a loop, requests in flight", () => {
    program.repeat(200, () => {
      disk.virtio.moveBar(WINDOW.start);
      disk.virtio.start();
      disk.request(VIRTIO_BLK_T.IN, 3);
      disk.virtio.chain(disk.readChain(0x4000));
      disk.virtio.offer([0]);
      disk.virtio.kick();
      for (let i = 0; i < 3; i++) {
        slot.control(OFF);
        slot.control(ON);
      }
      slot.turnOn();
    });
    comesBack();
    bystander.readsSector(2);
  });

  program.case("a bus that is reset in a loop", () => {
    program.repeat(50, () => {
      disk.virtio.moveBar(WINDOW.start);
      disk.virtio.start();
      for (const value of [0x40, 0, 0x40, 0]) program.write(AT_PORT + BRIDGE.CONTROL, 2, value);
      slot.turnOn();
    });
    comesBack();
  });

  program.case("windows and buses that are moved about under a disk at work", () => {
    for (const base of [0, 0xC000, 0xDFF0, 0xE000, 0xFEC0, 0xFFF0]) {
      program.write(AT_PORT + BRIDGE.MEMORY_BASE, 2, base);
      for (const limit of [0, 0xDFF0, 0xFFF0]) {
        program.write(AT_PORT + BRIDGE.MEMORY_LIMIT, 2, limit);
        program.read(disk.virtio.bar + COMMON.NUM_QUEUES, 2);
        program.read(disk.virtio.bar + 0x40_0000, 4);
      }
    }
    for (const bus of [0, 2, 8, 9, 255]) {
      program.write(AT_PORT + BRIDGE.SECONDARY_BUS, 1, bus);
      slot.expectNothing();
    }
    bystander.readsSector(3);
    slot.restore();
    disk.readsSector(4);
  });

  program.case(READY, () => {
    // All but the message's registers: where that goes is the guest's own affair.
    for (const value of [0, ONES, 0x5A5A_5A5A, 0xA5A5_A5A5]) {
      for (let register = 0; register < 0x7C; register++) {
        for (const size of [1, 2, 4] as const) {
          if (register % size === 0) program.write(AT_PORT + register, size, value);
        }
      }
      for (let register = 0x90; register < 0x200; register += 4) {
        program.write(AT_PORT + register, 4, value);
      }
    }
    slot.restore();
    slot.control(OFF);
    slot.turnOn();
    comesBack();
    bystander.readsSector(5);
  });

  // At work until it is no more.
  program.code.until(0, () => {
    program.read(disk.virtio.bar + COMMON.DEVICE_STATUS, 1);
    disk.virtio.kick();
    program.read(EXPRESS_AT + EXPRESS.SLOT_STATUS, 2);
    program.code.and(SLOT_STATUS.PRESENT);
  });
  program.case(TORN, () => {
    slot.expectNothing();
    for (const [power, status] of [[ON, 0], [OFF, 0xFF]]) {
      slot.control(power);
      disk.virtio.read(COMMON.DEVICE_STATUS);
      program.expect("device status", status);
      disk.virtio.kick();
    }
    bystander.readsSector(6);
  });

  slot.waitForDisk();
  program.case("the next disk in that slot works", comesBack);
  return program;
}

Deno.test({
  name: "disks come and go behind a port whose guest abuses it",
  ignore: !HAS_KVM,
  fn: async (t) => {
    using folder = new Folder();
    const socket = `${folder.path}/control`;
    const device = { disk: { path: folder.file("disk", diskImage()) } };
    const running = new HostileGuest(guest(), {
      vmm: VMM,
      folder: folder.path,
      args: [
        ...["--disk", folder.file("bystander", diskImage())],
        ...["--hotplug-ports", "1", "--control", socket],
      ],
    });
    const plug = async () => {
      const answer = await ask(socket, { op: "plug", device });
      assertEquals(answer, { ok: true, plugged: "block1" });
    };
    await running.isThrough(EMPTY);
    await plug();
    await running.isThrough(WORKS);
    await ask(socket, { op: "unplug", device: "block1" });
    await running.isThrough(GONE);
    await plug();
    await running.isThrough(READY);
    await ask(socket, { op: "unplug", device: "block1", force: true });
    await running.isThrough(TORN);
    await plug();
    const run = await running.ended();
    await assertRejects(() => ask(socket, { op: "status" }));
    for (const { name, wrong } of run.verdicts) {
      await t.step(name, () => assertEquals(wrong, [], run.errors));
    }
    assertEquals(run.code, 0, run.errors);
  },
});
