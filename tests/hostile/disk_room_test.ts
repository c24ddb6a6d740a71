/**
 * A guest whose disk's host runs out of room: it stands still, sees nothing of it, and loses nothing.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  BlockConfig,
  VIRTIO_BLK_F,
  VIRTIO_BLK_S,
  VIRTIO_BLK_T,
} from "../../hypervisor/devices/virtio/block_protocol.ts";
import { BAR } from "../../hypervisor/devices/virtio/pci_capabilities.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, SECTOR_BYTES } from "./block_driver.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";

const KIB = 1024;
const CHUNK = 64 * KIB;
/** Twice what the host has room for. */
const CHUNKS = 4;
const MORE_BYTES = 1024 * KIB;

const STARTED = "the disk works";

class Disk extends BlockDriver {
  /** Writes a chunk that is full of its own number. */
  writes(chunk: number): void {
    this.request(VIRTIO_BLK_T.OUT, chunk * CHUNK / SECTOR_BYTES);
    this.program.fill(this.data, CHUNK, chunk + 1);
    const [header, data, status] = this.readChain(CHUNK);
    this.virtio.roundTrip([header, { ...data, flags: 0 }, status], 1);
    this.expectStatus(VIRTIO_BLK_S.OK);
  }

  /** Discards or zeroes two sectors. */
  clears(type: number, sector: number): void {
    this.request(type, 0);
    this.program.write(this.data, 8, sector);
    this.program.write(this.data + 8, 4, 2);
    this.program.write(this.data + 12, 4, 0);
    const [header, data, status] = this.readChain(16);
    this.virtio.roundTrip([header, { ...data, flags: 0 }, status], 1);
    this.expectStatus(VIRTIO_BLK_S.OK);
  }

  waitForSectors(count: number): void {
    const { capacity } = BlockConfig.offsets;
    this.program.wait(this.virtio.bar + BAR.DEVICE + capacity, 4, count);
  }
}

function writer(): GuestProgram {
  const program = new GuestProgram();
  const disk = new Disk(program, { nth: 0 });
  program.case(STARTED, () => {
    disk.virtio.start({ features: 1 << VIRTIO_BLK_F.FLUSH });
    disk.writes(0);
  });
  program.case("what finds no room is written when there is some", () => {
    for (let chunk = 1; chunk < CHUNKS; chunk++) disk.writes(chunk);
  });
  program.case("what has been given back is zeros", () => {
    disk.clears(VIRTIO_BLK_T.DISCARD, 0);
  });
  program.case("what the disk has grown by can be written", () => {
    disk.waitForSectors(MORE_BYTES / SECTOR_BYTES);
    disk.writes(MORE_BYTES / CHUNK - 1);
  });
  return program;
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  assert(success, new TextDecoder().decode(stderr));
}

Deno.test({
  name: "a host without room stops its guest until there is some, and nothing is lost",
  // It takes a file system of its own.
  ignore: !HAS_KVM || Deno.uid() !== 0,
  async fn() {
    using folder = new Folder();
    const small = `${folder.path}/small`;
    Deno.mkdirSync(small);
    await run("mount", "-t", "tmpfs", "-o", `size=${CHUNKS / 2 * CHUNK}`, "small", small);
    try {
      const image = `${small}/disk.raw`;
      Deno.createSync(image).close();
      Deno.truncateSync(image, CHUNKS * CHUNK);
      const socket = `${folder.path}/control`;
      const guest = new HostileGuest(writer(), {
        vmm: VMM,
        folder: folder.path,
        args: ["--memory", "128M", "--disk", image, "--control", socket],
      });
      await guest.isThrough(STARTED);
      using events = await ControlConnection.open(socket, { op: "events" });
      const until = async (name: string) => {
        for (let line = await events.line(); line; line = await events.line()) {
          if (line.event === name) return line;
        }
        throw new Error(`Cannot see "${name}": the VMM has ended`);
      };
      const { pausedFor } = (await ask(socket, { op: "status" })).status;
      const reason = pausedFor ?? (await until("paused")).reason;
      assertMatch(reason, /disk "[^"]*disk\.raw" has no room on the host/);
      // Told to go on, it stops again, for there is no more room than there was.
      await ask(socket, { op: "resume" });
      await until("paused");
      await run("mount", "-o", "remount,size=4M", small);
      await until("resumed");
      const change = { sizeBytes: MORE_BYTES };
      const grown = await ask(socket, { op: "change", device: "block0", change });
      assert(grown.ok, JSON.stringify(grown));
      const end = await guest.ended();
      for (const { name, wrong } of end.verdicts) assertEquals(wrong, [], `${name}: ${end.errors}`);
      assertEquals(end.code, 0);
      const words = new Uint32Array(Deno.readFileSync(image).buffer);
      const expected = new Uint32Array(MORE_BYTES / 4);
      for (const chunk of [0, 1, 2, 3, MORE_BYTES / CHUNK - 1]) {
        expected.fill(chunk + 1, chunk * CHUNK / 4, (chunk + 1) * CHUNK / 4);
      }
      expected.fill(0, 0, 2 * SECTOR_BYTES / 4);
      assertEquals(words.findIndex((word, i) => word !== expected[i]), -1);
    } finally {
      // Lazily: the kernel ends a process's io_uring, and closes its files, after the process.
      await run("umount", "--lazy", small);
    }
  },
});
