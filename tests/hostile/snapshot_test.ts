/**
 * A guest of a few instructions that is saved while it counts, and goes on in another VMM.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { VIRTIO_BLK_S, VIRTIO_BLK_T } from "../../hypervisor/devices/virtio/block_protocol.ts";
import { COMMON } from "../../hypervisor/devices/virtio/common_config.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { decodeGuest } from "../../hypervisor/vmm/snapshot/saved_guest.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import {
  endOf,
  Folder,
  HAS_KVM,
  runVmm,
  startVmm,
  VMM,
} from "../../hypervisor/vmm/testing/vmm_process.ts";
import { LAPIC } from "../../hypervisor/machine/address_map.ts";
import { BlockDriver, diskImage, SECTOR_BYTES, SECTORS } from "./block_driver.ts";
import { counts, right, save, saved, swept, until } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { startSecondCpu, stopSecondCpu } from "./race_cases.ts";
import { IS_THOROUGH } from "./thorough.ts";

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });

test("a guest that is saved goes on, and goes on again where it was in another process", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  program.case("it runs", () => {
    program.read(0x500, 4);
    program.expect("anything", () => true);
  });
  let before = 0;
  const counter = counts(program, () => before);
  const socket = `${folder.path}/control`;
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  const directory = `${folder.path}/snapshot`;
  assertEquals(await save(socket, { directory }), ["accepted", { saved: directory }]);
  assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
    "memory",
    "state",
  ]);
  const { size, blocks } = Deno.statSync(`${directory}/memory`);
  assertEquals(size, 128 * 2 ** 20);
  assert(blocks! * 512 < 8 * 2 ** 20, `${blocks} blocks`);
  before = saved(directory, counter);
  assert(before > 0);
  await guest.type();
  right(await guest.ended());
  for (let i = 0; i < 2; i++) {
    const restore = { directory, cases: 1 };
    const again = new HostileGuest(program, { vmm: VMM, folder: folder.path, args: [], restore });
    await again.type();
    right(await again.ended());
  }
});

/** Offsets in the local APIC (APM volume 2, section 16.3). */
const APIC = { SPURIOUS: 0xF0, IRR: 0x200, ICR: 0x300 } as const;
const APIC_ENABLE = 0x1FF;
/** A fixed interrupt to oneself. */
const TO_SELF = 0x4_0000;
const VECTORS = { QUEUE: 0x51, MASKED: 0x52, CONFIG: 0x53, SELF: 0x61 };
const MSIX_CONTROL = 0x42;
const MSIX_ENABLE = 0x8000;
const MASKED = 1;
const MORE_SECTORS = SECTORS + 8;

/** Waits for an interrupt to wait in the local APIC: the kernel may take a moment to bring it there. */
function pends(program: GuestProgram, vector: number): void {
  const bit = 2 ** (vector & 31);
  program.wait(LAPIC.start + APIC.IRR + (vector >> 5) * 0x10, 4, bit, bit);
}

/** Expects none of this number to wait. */
function pendsNot(program: GuestProgram, vector: number): void {
  program.read(LAPIC.start + APIC.IRR + (vector >> 5) * 0x10, 4);
  const bit = 1 << (vector & 31);
  program.expect(`vector 0x${vector.toString(16)}`, (word) => (word & bit) === 0);
}

function message(disk: BlockDriver, index: number, vector: number, control: number): void {
  const at = disk.virtio.bar + BAR.MSIX_TABLE + 16 * index;
  [LAPIC.start, 0, vector, control].forEach((word, i) => disk.program.write(at + 4 * i, 4, word));
}

function readsThroughSecondQueue(disk: BlockDriver, sector: number): void {
  disk.request(VIRTIO_BLK_T.IN, sector);
  disk.virtio.roundTrip(disk.readChain(SECTOR_BYTES), SECTOR_BYTES + 1, 1);
  disk.expectStatus(VIRTIO_BLK_S.OK);
}

/** Two vCPUs, a disk with two queues and its interrupts, which wait in the local APIC. */
function busy(): { program: GuestProgram; counter: number; before: { count: number } } {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0, queues: 2 });
  const before = { count: 0 };
  const { virtio } = disk;
  program.write(LAPIC.start + APIC.SPURIOUS, 4, APIC_ENABLE);
  program.configWrite(virtio.pci, MSIX_CONTROL, 2, MSIX_ENABLE);
  message(disk, 0, VECTORS.QUEUE, 0);
  message(disk, 1, VECTORS.MASKED, MASKED);
  message(disk, 2, VECTORS.CONFIG, MASKED);
  virtio.negotiate();
  virtio.write(COMMON.CONFIG_MSIX_VECTOR, 2);
  for (const queue of [0, 1]) {
    virtio.write(COMMON.QUEUE_SELECT, queue);
    virtio.write(COMMON.QUEUE_MSIX_VECTOR, queue);
    virtio.setUpQueue(queue);
  }
  virtio.driverOk();
  program.case("disk, interrupts and second vCPU work", () => {
    disk.readsSector(3);
    readsThroughSecondQueue(disk, 4);
    pends(program, VECTORS.QUEUE);
    program.write(LAPIC.start + APIC.ICR, 4, TO_SELF | VECTORS.SELF);
    pends(program, VECTORS.SELF);
    pendsNot(program, VECTORS.MASKED);
    startSecondCpu(program, [[0, 1]]);
  });
  const counter = counts(program, () => before.count);
  program.case("they work where it goes on", () => {
    pends(program, VECTORS.SELF);
    pendsNot(program, VECTORS.CONFIG);
    program.read(virtio.bar + BAR.MSIX_PENDING, 4);
    // What the host changed while it was masked.
    program.expect("what is pending", (bits) => (bits & 4) !== 0);
    message(disk, 1, VECTORS.MASKED, 0);
    message(disk, 2, VECTORS.CONFIG, 0);
    pends(program, VECTORS.CONFIG);
    program.read(virtio.bar + BAR.DEVICE, 4);
    program.expect("the capacity", MORE_SECTORS);
    for (let sector = 0; sector < 100; sector++) disk.readsSector(sector);
    readsThroughSecondQueue(disk, 5);
    pends(program, VECTORS.MASKED);
    stopSecondCpu(program);
  });
  return { program, counter, before };
}

test("two vCPUs, a disk in use and interrupts that wait go on, on another disk", async () => {
  using folder = new Folder();
  const { program, counter, before } = busy();
  const [socket, directory] = [`${folder.path}/control`, `${folder.path}/snapshot`];
  const image = folder.file("disk", diskImage());
  const args = ["--memory", "128M", "--cpus", "2", "--disk", image, "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough(program.cases[0].name);
  const sizeBytes = MORE_SECTORS * SECTOR_BYTES;
  const change = { op: "change", device: "block0", change: { sizeBytes } };
  assertEquals((await ask(socket, change)).ok, true);
  const said = await save(socket, { directory, hold: true }, async () => {
    Deno.copyFileSync(image, `${folder.path}/copy`);
    assertMatch((await ask(socket, { op: "status" })).status.pausedFor, /being saved/);
    for (const op of [{ op: "resume" }, { op: "devices" }, change, { op: "save", directory }]) {
      assertMatch((await ask(socket, op)).error, /is being saved|exists/, op.op);
    }
  });
  assertEquals(said, ["accepted", { held: true }, { saved: directory }]);
  assertEquals((await ask(socket, { op: "status" })).status.pausedFor, undefined);
  before.count = saved(directory, counter);
  await guest.type();
  right(await guest.ended());

  // Only the copy is left.
  Deno.removeSync(image);
  const { config } = decodeGuest(Deno.readFileSync(`${directory}/state`));
  const other = { ...config, disks: [{ path: `${folder.path}/copy` }] };
  const file = folder.file("config.json", JSON.stringify(other));
  const again = new HostileGuest(program, {
    vmm: VMM,
    folder: folder.path,
    args: ["--config", file],
    restore: { directory, cases: 1 },
  });
  await again.type();
  right(await again.ended());
});

test("a save that nobody wants any more leaves nothing, and one that stays waits to go on", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  program.case("it runs", () => {
    program.read(0x500, 4);
    program.expect("anything", () => true);
  });
  let least = 0;
  const counter = counts(program, () => least);
  const [socket, directory] = [`${folder.path}/control`, `${folder.path}/snapshot`];
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  {
    using control = await ControlConnection.open(socket, { op: "save", directory, hold: true });
    for (let line = await control.line(); !line.held; line = await control.line());
    assert(folder.names().includes("snapshot.new"));
  }
  await until(socket, (pausedFor) => pausedFor === undefined);
  await swept(folder, "snapshot");

  for (
    const request of [
      ...[{}, { directory: "relative" }, { directory, hold: 1 }, { directory: "/" }],
      ...[{ directory, base: "relative" }, { directory, track: 1 }, {
        directory,
        allowedPauseMs: -1,
      }],
    ]
  ) {
    assertMatch((await ask(socket, { op: "save", ...request })).error, /^Cannot understand/);
  }
  const nowhere = await ask(socket, { op: "save", directory: `${folder.path}/no/where` });
  assertMatch(nowhere.error, /No such file or directory/);

  const said = await save(socket, { directory, stay: true });
  assertEquals(said, ["accepted", { saved: directory }]);
  assertEquals((await ask(socket, { op: "status" })).status.pausedFor, "It was saved");
  assertMatch((await ask(socket, { op: "devices" })).error, /was saved, and has not gone on/);
  least = saved(directory, counter);
  assertEquals((await ask(socket, { op: "resume" })).status.pausedFor, undefined);

  // One whose guest ends meanwhile.
  const other = `${folder.path}/other`;
  using late = await ControlConnection.open(socket, { op: "save", directory: other, hold: true });
  for (let line = await late.line(); !line.held; line = await late.line());
  await ask(socket, { op: "kill" });
  for (let line = await late.line(); line; line = await late.line()) {
    if (line.error) assertEquals(line.error, "Cannot save: the guest has ended");
  }
  await guest.ended();
  assert(!folder.names().some((name) => name.startsWith("other")));

  const again = new HostileGuest(program, {
    vmm: VMM,
    folder: folder.path,
    args: [],
    restore: { directory, cases: 1 },
  });
  await again.type();
  right(await again.ended());
});

test("what is no snapshot, or another machine's, is refused before anything runs", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  program.case("it runs", () => {
    program.read(0x500, 4);
    program.expect("anything", () => true);
  });
  counts(program, () => 0);
  const [socket, directory] = [`${folder.path}/control`, `${folder.path}/snapshot`];
  const args = ["--memory", "128M", "--control", socket];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("it runs");
  await save(socket, { directory });
  await guest.kill();
  const run = async (...args: string[]) => {
    const { code, errors } = await runVmm(args);
    return { code, error: errors.trim().split("\n").at(-1)! };
  };
  assertEquals((await run("--verify", directory)).code, 0);
  const { config } = decodeGuest(Deno.readFileSync(`${directory}/state`));
  const other = folder.file("other.json", JSON.stringify({ ...config, cpus: 2 }));
  const different = await run("--restore", directory, "--config", other);
  assertEquals(different.code, 2);
  assertMatch(different.error, /cpus is another than it was/);
  const state = Deno.readFileSync(`${directory}/state`);
  state[5000] ^= 1;
  Deno.writeFileSync(`${directory}/state`, state);
  const damaged = await run("--restore", directory);
  assertEquals(damaged.code, 2);
  assertMatch(damaged.error, /Cannot use the snapshot ".*": Cannot read the state: .*damaged/);
});

const MEMORIES = ["128M", "128M,hotplug=128M", "128M,mergeable"];
// One of many stands for all where there is little time.
for (const memory of IS_THOROUGH ? MEMORIES : MEMORIES.slice(1, 2)) {
  test(`a guest that was restored is saved and restored again: memory ${memory}`, async () => {
    using folder = new Folder();
    const program = new GuestProgram();
    program.case("it runs", () => {
      program.read(0x500, 4);
      program.expect("anything", () => true);
    });
    let least = 0;
    const counter = counts(program, () => least);
    const socket = `${folder.path}/control`;
    const args = ["--memory", memory, "--control", socket];
    const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
    await guest.isThrough("it runs");
    let directory = `${folder.path}/0`;
    await save(socket, { directory });
    await guest.kill();
    for (let i = 1; i <= 2; i++) {
      const restored = startVmm(["--restore", directory, "--control", socket]);
      const end = endOf(restored);
      // The one before was killed, and its socket is still there until this one has begun.
      while ((await ask(socket, { op: "status" }).catch(() => undefined))?.ok !== true) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      // Long enough for it to count on, which a busy machine may not let it.
      await new Promise((resolve) => setTimeout(resolve, 300));
      directory = `${folder.path}/${i}`;
      assertEquals(await save(socket, { directory }), ["accepted", { saved: directory }]);
      assert(saved(directory, counter) >= least);
      least = saved(directory, counter);
      assertEquals((await runVmm(["--verify", directory])).code, 0);
      restored.kill("SIGKILL");
      await end;
    }
    const restore = { directory, cases: 1 };
    const last = new HostileGuest(program, { vmm: VMM, folder: folder.path, args: [], restore });
    await last.type();
    right(await last.ended());
  });
}
