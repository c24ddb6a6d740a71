/**
 * A guest made by hand changes its memory in every way it can, while its changes are tracked.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { DIRTY_PAGE_BYTES, DirtyPages } from "../../hypervisor/machine/dirty_pages.ts";
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { Folder, HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { type Script, ScriptedGuest } from "../scripted_guest.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { balloon, entropy } from "./devices.ts";
import { GuestProgram } from "./guest_program.ts";

const ROUNDS = 3;
const PAGES = 64;
const PATIENCE_MS = 60_000;

/** What the program does in each round, and where. */
function program(): { program: GuestProgram; written: number; data: number } {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, {});
  const others = [entropy(program), balloon(program)];
  const written = program.allocate(PAGES * DIRTY_PAGE_BYTES);
  const all = [disk.virtio, ...others.map(({ driver }) => driver)];
  program.case("start", () => {
    all.forEach((driver) => driver.start());
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

Deno.test({
  name: "every page that a guest, its devices or the VMM changes is told of",
  ignore: !HAS_KVM,
  // A guest is made for a process of its own, which ends with it.
  sanitizeOps: false,
  sanitizeResources: false,
  fn() {
    using folder = new Folder();
    const { program: it, written, data } = program();
    const config: GuestConfig = {
      name: "dirty",
      kernel: folder.file("kernel", it.toKernel()),
      cmdline: "",
      memoryMiB: 64,
      cpus: 1,
      disks: [{ path: folder.file("disk", diskImage()), readonly: true }],
      nets: [],
      balloon: {},
    };
    const scripted = new ScriptedGuest(config);
    const { guest } = scripted;
    const memory = guest.memory.view.bytes;
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
      guest.tracking.collect(DirtyPages.of(memory.length));
      let before = memory.slice();
      for (let number = 1; number <= ROUNDS; number++) {
        go();
        yield* round(number);
        guest.changeGeneration();
        const changed = DirtyPages.of(memory.length);
        guest.tracking.collect(changed);
        const different = differences(before, memory);
        assertEquals(different.filter((page) => !changed.has(page)), [], `round ${number}`);
        // They are what was to change, and not just all there is.
        for (let page = 0; page < PAGES; page++) {
          if (page % 2 === (number - 1) % 2) assert(different.includes(first + page), `${page}`);
        }
        assert(different.includes(data / DIRTY_PAGE_BYTES), "the disk wrote nothing");
        assert(changed.count < different.length + 32, `${changed.count} of ${different.length}`);
        const again = DirtyPages.of(memory.length);
        guest.tracking.collect(again);
        assertEquals(again.count, 0);
        before = memory.slice();
      }
      guest.tracking.stop();
      assertEquals(guest.memory.view.changes, undefined);
      go();
      yield* round(ROUNDS + 1);
    }

    scripted.run(script(), { patienceMs: PATIENCE_MS });
    assertEquals(scripted.log, []);
  },
});
