/**
 * Guests that move without shared disks: a test copies the disk while the guest writes to it, as a
 * supervisor does, and the copy is the disk when the guest has stopped.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { SLOT_STATUS } from "../../hypervisor/machine/pci/express.ts";
import type { ChangedRanges, DiskRange } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, diskImage, SECTOR_BYTES } from "./block_driver.ts";
import { right } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { EXPRESS_AT, Slot, WINDOW } from "./hotplug_slot.ts";
import { Waiting } from "./migrating_guest.ts";
import { writes, WRITTEN_SECTORS } from "./writing_guest.ts";

const MIGRATED = 5;
const MiB = 2 ** 20;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });

/** A copy of a disk that is kept up to date. */
class Mirror {
  readonly #control: string;
  readonly #device: string;
  readonly from: string;
  readonly to: string;
  bytes = 0;

  /** `to` is there, and as long as the disk. */
  constructor(control: string, options: { device: string; from: string; to: string }) {
    this.#control = control;
    this.#device = options.device;
    this.from = options.from;
    this.to = options.to;
  }

  copy(ranges: readonly DiskRange[]): void {
    using from = Deno.openSync(this.from);
    using to = Deno.openSync(this.to, { write: true });
    for (const [offset, length] of ranges) {
      const bytes = new Uint8Array(length);
      from.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < length;) at += from.readSync(bytes.subarray(at)) ?? length;
      to.seekSync(offset, Deno.SeekMode.Start);
      for (let at = 0; at < length;) at += to.writeSync(bytes.subarray(at));
      this.bytes += length;
    }
  }

  async take(): Promise<ChangedRanges> {
    const answer = await ask(this.#control, { op: "disk_changes", device: this.#device });
    assertEquals(answer.error, undefined);
    return answer.changes;
  }

  async giveBack(ranges: readonly DiskRange[]): Promise<void> {
    const request = { op: "return_disk_changes", device: this.#device, ranges };
    assertEquals((await ask(this.#control, request)).error, undefined);
  }

  /** Copies what has changed until now; how many ranges that were. */
  async catchUp(): Promise<number> {
    for (let count = 0;;) {
      const { ranges, leftBytes } = await this.take();
      this.copy(ranges);
      count += ranges.length;
      if (leftBytes === 0) return count;
    }
  }

  get isEqual(): boolean {
    const [one, other] = [this.from, this.to].map((path) => Deno.readFileSync(path));
    return one.length === other.length && one.every((byte, i) => byte === other[i]);
  }
}

/** Sends a guest that is held until `held` has returned; what was said last. */
async function sendHeld(
  control: string,
  request: { socket: string; between?: () => Promise<void> },
  held: () => Promise<void>,
) {
  const { socket, between } = request;
  const order = { op: "send", socket, hold: true, allowedPauseMs: 100 };
  using connection = await ControlConnection.open(control, order);
  await between?.();
  for (let line = await connection.line();; line = await connection.line()) {
    if (line.held) {
      await held();
      await connection.send('{"op":"go"}\n');
    }
    if (line.sent || line.error) return line;
  }
}

test("a disk is copied while its guest writes to it, and the copy is the disk once it stands still", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  const disk = new BlockDriver(program, { nth: 0 });
  writes(disk);
  const from = folder.file("disk", new Uint8Array(WRITTEN_SECTORS * SECTOR_BYTES));
  const to = folder.file("mirror", "");
  Deno.truncateSync(to, WRITTEN_SECTORS * SECTOR_BYTES);
  const control = `${folder.path}/control`;
  const args = ["--memory", "128M", "--disk", from, "--control", control];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("its disk is there");

  const early = await ask(control, { op: "disk_changes", device: "block0" });
  assertMatch(early.error, /its changes are not tracked/);
  assertEquals((await ask(control, { op: "track_disks", on: true })).disks, {
    block0: { path: from, readonly: false, sizeBytes: WRITTEN_SECTORS * SECTOR_BYTES },
  });
  const mirror = new Mirror(control, { device: "block0", from, to });
  mirror.copy([[0, WRITTEN_SECTORS * SECTOR_BYTES]]);
  await mirror.catchUp();
  // What could not be copied is told again.
  let { ranges } = await mirror.take();
  while (ranges.length === 0) ({ ranges } = await mirror.take());
  await mirror.giveBack(ranges);
  assert(await mirror.catchUp() > 0);

  const config = {
    ...{ name: "guest", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1, nets: [] },
    ...{ hotplugPorts: 0, disks: [{ path: to }] },
  };
  await using vmm = await Waiting.started(config);
  const last = await sendHeld(control, {
    socket: vmm.socket,
    between: async () => void await mirror.catchUp(),
  }, async () => {
    // It went on writing until it stood still: without the last of it, this is another disk.
    assertEquals(mirror.isEqual, false);
    assert(await mirror.catchUp() > 0);
    assert(mirror.isEqual);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals((await mirror.take()).ranges, []);
    assert(mirror.isEqual);
  });
  assertEquals(last.error, undefined);
  assertEquals((await guest.ended()).code, MIGRATED);
  const before = Deno.readFileSync(from);
  assertEquals((await vmm.answer).status?.state, "running");
  await new Promise((resolve) => setTimeout(resolve, 100));
  await vmm.runs();
  // It goes on with the copy, and leaves what it has given away alone.
  assertEquals(Deno.readFileSync(from), before);
  assertEquals(mirror.isEqual, false);
});

test("what was plugged in moves too, and its disk is copied as any other", async () => {
  using folder = new Folder();
  const program = new GuestProgram();
  const slot = new Slot(program);
  const bystander = new BlockDriver(program, { nth: 0 });
  bystander.virtio.start();
  slot.restore();
  program.case("it waits for a disk", () => bystander.readsSector(1));
  slot.waitForDisk();
  const disk = new BlockDriver(program, { bus: 1, bar: WINDOW.start });
  disk.virtio.moveBar(WINDOW.start);
  writes(disk);
  program.case("the other disk works", () => bystander.readsSector(2));
  // It lets go of the disk, wherever that is now.
  slot.waitForStatus(SLOT_STATUS.ATTENTION_BUTTON, SLOT_STATUS.ATTENTION_BUTTON);
  program.case("its port works", () => {
    program.read(EXPRESS_AT, 1);
    program.expect("the capability", 0x10);
  });
  const disks = [folder.file("bystander", diskImage()), folder.file("other", diskImage())];
  const from = folder.file("disk", new Uint8Array(WRITTEN_SECTORS * SECTOR_BYTES));
  const to = folder.file("mirror", new Uint8Array(WRITTEN_SECTORS * SECTOR_BYTES));
  const control = `${folder.path}/control`;
  const guest = new HostileGuest(program, {
    ...{ vmm: VMM, folder: folder.path },
    args: [
      ...["--memory", "128M", "--disk", disks[0], "--control", control],
      ...["--hotplug-ports", "1"],
    ],
  });
  await guest.isThrough("it waits for a disk");
  assertEquals((await ask(control, { op: "track_disks", on: true })).ok, true);
  const device = { disk: { path: from } };
  assertEquals((await ask(control, { op: "plug", device })).plugged, "block1");
  await guest.isThrough("its disk is there");
  const config = {
    ...{ name: "guest", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1, nets: [] },
    ...{ hotplugPorts: 1, disks: [{ path: disks[1] }] },
  };
  // Who does not say what it stands on there is told before the first page.
  for (
    const [plugged, why] of [
      [{}, /"plugged" does not say what it is now/],
      [{ block1: { disk: { path: "/none" } } }, /there is no such file/],
    ] as const
  ) {
    await using vmm = await Waiting.started({ ...config, plugged });
    const socket = vmm.socket;
    assertMatch((await sendHeld(control, { socket }, () => Promise.resolve())).error, why);
    assertEquals((await vmm.ended()).code, 2);
  }
  const mirror = new Mirror(control, { device: "block1", from, to });
  await using vmm = await Waiting.started({
    ...config,
    plugged: { block1: { disk: { path: to } } },
  });
  mirror.copy([[0, WRITTEN_SECTORS * SECTOR_BYTES]]);
  const last = await sendHeld(control, { socket: vmm.socket }, async () => {
    assert(await mirror.catchUp() > 0);
    assert(mirror.isEqual);
  });
  assertEquals(last.error, undefined);
  assert(mirror.bytes < 1024 * MiB);
  assertEquals((await guest.ended()).code, MIGRATED);
  await vmm.runs({
    meanwhile: async () => {
      assertEquals((await ask(vmm.control, { op: "unplug", device: "block1" })).ok, true);
    },
  });
  right({ ...await guest.ended(), code: 0, verdicts: [] });
});
