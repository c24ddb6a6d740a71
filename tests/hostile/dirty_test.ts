/**
 * A guest made by hand changes its memory in every way it can, while its changes are tracked.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import {
  MemRequest,
  MemResponse,
  VIRTIO_MEM_F,
  VIRTIO_MEM_REQ,
  VIRTIO_MEM_RESP,
} from "../../hypervisor/devices/virtio/mem.ts";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import type { GuestConfig, MemoryConfig } from "../../hypervisor/vmm/control.ts";
import { Folder, HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { type Script, ScriptedGuest } from "../scripted_guest.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { balloon, entropy } from "./devices.ts";
import { F_WRITE, GuestDriver } from "./guest_driver.ts";
import { GuestProgram } from "./guest_program.ts";

const ROUNDS = 3;
const PAGES = 64;
const MiB = 2 ** 20;
const PATIENCE_MS = 60_000;

/** Where memory is added to a guest with less than 3 GiB. */
const ADDED = 4 * 2 ** 30;
const BLOCK_BYTES = 2 * MiB;

/** A guest's driver of memory that is added, which it writes to. */
class AddedMemory {
  readonly driver: GuestDriver;
  readonly #program: GuestProgram;
  readonly #request: number;
  readonly #response: number;

  constructor(program: GuestProgram) {
    this.#program = program;
    this.driver = new GuestDriver(program, VIRTIO_ID.mem);
    this.#request = program.allocate(MemRequest.size);
    this.#response = program.allocate(MemResponse.size);
    program.mapGiB(4);
  }

  #ask(type: number, block: number): void {
    const program = this.#program;
    program.fill(this.#request, MemRequest.size);
    program.write(this.#request, 2, type);
    program.write(this.#request + 8, 8, ADDED + block * BLOCK_BYTES);
    program.write(this.#request + 16, 2, 1);
    this.driver.roundTrip([
      { address: this.#request, length: MemRequest.size },
      { address: this.#response, length: MemResponse.size, flags: F_WRITE },
    ], MemResponse.size);
    program.read(this.#response, 2);
    program.expect("response", VIRTIO_MEM_RESP.ACK);
  }

  /** Another block comes and is written to, the one before goes. */
  turn(round: number): void {
    this.#ask(VIRTIO_MEM_REQ.PLUG, round);
    this.#program.write(ADDED + round * BLOCK_BYTES + 3 * DIRTY_PAGE_BYTES, 4, 0x8765_4321);
    if (round > 0) this.#ask(VIRTIO_MEM_REQ.UNPLUG, round - 1);
  }
}

/** What the program does in each round, and where. */
function program(isAdded: boolean): { program: GuestProgram; written: number; data: number } {
  const program = new GuestProgram();
  const added = isAdded ? new AddedMemory(program) : undefined;
  const disk = new BlockDriver(program, {});
  const others = [entropy(program), balloon(program)];
  const written = program.allocate(PAGES * DIRTY_PAGE_BYTES);
  const all = [disk.virtio, ...others.map(({ driver }) => driver)];
  program.case("start", () => {
    all.forEach((driver) => driver.start());
    added?.driver.start({ features: 1 << VIRTIO_MEM_F.UNPLUGGED_INACCESSIBLE });
    program.in(0x3FD, 1);
    program.expect("it is up", () => true);
  });
  for (let round = 0; round <= ROUNDS; round++) {
    program.waitForTest();
    program.case(`round ${round}`, () => {
      // Every other page, and others in every round.
      for (let page = round % 2; page < PAGES; page += 2) {
        program.write(written + page * DIRTY_PAGE_BYTES + 8 * round, 4, 0x1234_5678 + round);
      }
      disk.readsSector(round + 1);
      others.forEach((device) => device.works());
      added?.turn(round);
    });
  }
  program.waitForTest();
  return { program, written, data: disk.data };
}

/** The pages in which two copies of memory differ. */
function differences(before: Uint8Array, after: Uint8Array): number[] {
  const pages: number[] = [];
  for (let at = 0; at < before.length; at += DIRTY_PAGE_BYTES) {
    const [a, b] = [before, after].map((all) => all.subarray(at, at + DIRTY_PAGE_BYTES));
    if (Buffer.compare(a, b) !== 0) pages.push(at / DIRTY_PAGE_BYTES);
  }
  return pages;
}

const KINDS: Record<string, MemoryConfig> = {
  "": {},
  ", in private memory": { mergeable: true },
  ", with memory that comes and goes": { hotplugMiB: 128, requestedMiB: 128 },
};

for (const [kind, memory] of Object.entries(KINDS)) {
  Deno.test({
    name: `every page that a guest, its devices or the VMM changes is told of${kind}`,
    ignore: !HAS_KVM,
    // A guest is made for a process of its own, which ends with it.
    sanitizeOps: false,
    sanitizeResources: false,
    fn() {
      using folder = new Folder();
      const { program: it, written, data } = program(memory.hotplugMiB !== undefined);
      const config: GuestConfig = {
        name: "dirty",
        kernel: folder.file("kernel", it.toKernel()),
        cmdline: "",
        memoryMiB: 64,
        cpus: 1,
        disks: [{ path: folder.file("disk", diskImage()), readonly: true }],
        nets: [],
        balloon: {},
        memory,
      };
      const scripted = new ScriptedGuest(config);
      const { guest } = scripted;
      const { bytes } = guest.memory.view;
      const first = written / DIRTY_PAGE_BYTES;
      // Each case is four bytes for each expectation.
      const lengths = it.cases.map(({ expectations }) => 4 * expectations.length);
      let seen = 0;

      function* round(number: number): Script {
        const wanted = seen += lengths[number];
        yield () => scripted.output.length >= wanted;
        yield* scripted.pause();
      }
      const go = () => {
        guest.resume();
        scripted.type("!");
      };

      function* script(): Script {
        yield* round(0);
        guest.tracking.start();
        // The first time it may be all of them.
        guest.tracking.collect(DirtyPages.of(bytes.length));
        let before = bytes.slice();
        for (let number = 1; number <= ROUNDS; number++) {
          go();
          yield* round(number);
          guest.changeGeneration();
          const changed = DirtyPages.of(bytes.length);
          guest.tracking.collect(changed);
          const different = differences(before, bytes);
          assertEquals(different.filter((page) => !changed.has(page)), [], `round ${number}`);
          // They are what was to change, and not just all there is.
          for (let page = 0; page < PAGES; page++) {
            if (page % 2 === (number - 1) % 2) assert(different.includes(first + page), `${page}`);
          }
          assert(different.includes(data / DIRTY_PAGE_BYTES), "the disk wrote nothing");
          // A block that comes or goes is changed whole.
          const most = different.length + 32 +
            (memory.hotplugMiB ? 2 * BLOCK_BYTES / DIRTY_PAGE_BYTES : 0);
          assert(changed.count <= most, `${changed.count} of ${different.length}`);
          const again = DirtyPages.of(bytes.length);
          guest.tracking.collect(again);
          assertEquals(again.count, 0);
          before = bytes.slice();
        }
        guest.tracking.stop();
        assertEquals(guest.memory.view.changes, undefined);
        go();
        yield* round(ROUNDS + 1);
      }

      scripted.run(script(), { patienceMs: PATIENCE_MS });
      assertEquals(scripted.log.filter((line) => !line.startsWith("The host merges no pages")), []);
    },
  });
}
