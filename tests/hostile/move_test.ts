/**
 * A guest made by hand writes to its memory and has its devices write to it, without end, while that is
 * copied.
 */
import { Buffer } from "node:buffer";
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import type { GuestConfig } from "../../hypervisor/vmm/control.ts";
import { close, O_RDWR, open } from "../../hypervisor/sys/files.ts";
import { StreamPair } from "../../hypervisor/sys/testing/stream_pair.ts";
import { MovedMemory, PAGE } from "../../hypervisor/vmm/move/testing/memory.ts";
import { MoveCancelled, Mover, type MoverOptions } from "../../hypervisor/vmm/mover.ts";
import { Folder, HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { type Script, ScriptedGuest } from "../scripted_guest.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { entropy } from "./devices.ts";
import { GuestProgram } from "./guest_program.ts";

const MiB = 2 ** 20;
const PATIENCE_MS = 90_000;
const PAGES = 256;
const FILLED_BYTES = 8 * MiB;
/** More than the test takes: the guest is ended in the middle of it. */
const ROUNDS = 120;
const LOOPS = 100_000;

function busyProgram(): GuestProgram {
  const program = new GuestProgram();
  const disk = new BlockDriver(program, {});
  const random = entropy(program);
  const pages = program.allocate(PAGES * PAGE);
  const filled = program.allocate(FILLED_BYTES);
  program.case("start", () => {
    program.fill(filled, FILLED_BYTES, 0x1357_9BDF);
    disk.virtio.start();
    random.driver.start();
    program.in(0x3FD, 1);
    program.expect("it is up", () => true);
  });
  for (let round = 0; round < ROUNDS; round++) {
    program.repeat(LOOPS, () => {
      for (let i = 0; i < 16; i++) {
        program.code.address(pages + ((round * 7 + i * 16) % PAGES) * PAGE);
        program.code.raw(0xFF, 0x03); // inc dword [rbx]
      }
    });
    program.case(`round ${round}`, () => {
      disk.readsSector(round % 100);
      random.works();
    });
  }
  program.waitForTest();
  return program;
}

class Busy {
  readonly scripted: ScriptedGuest;
  /** The newest copy: what changes from now on is what it lacks. */
  file: string;
  readonly #folder: Folder;
  readonly stalls: number[] = [];
  ended: Error | undefined | null = null;
  mover!: Mover;
  isReady = false;

  constructor(folder: Folder) {
    this.#folder = folder;
    this.file = folder.file("memory", "");
    const config: GuestConfig = {
      name: "busy",
      kernel: folder.file("kernel", busyProgram().toKernel()),
      cmdline: "",
      memoryMiB: 64,
      cpus: 1,
      disks: [{ path: folder.file("disk", diskImage()), readonly: true }],
      nets: [],
    };
    this.scripted = new ScriptedGuest(config);
  }

  get guest() {
    return this.scripted.guest;
  }

  get memory(): Uint8Array {
    return this.guest.memory.view.bytes;
  }

  move(task: MoverOptions["task"], options: Partial<MoverOptions> = {}): Mover {
    this.ended = null;
    this.isReady = false;
    this.stalls.length = 0;
    return this.mover = new Mover(this.scripted.loop, {
      memory: this.guest.memory.spec,
      task,
      ready: () => this.isReady = true,
      stalled: (rounds) => this.stalls.push(rounds),
      ended: (error) => this.ended = error,
      ...options,
    });
  }

  /** The guest stops, its disk has done what it was told to, and the rest is copied. */
  *lastRound(): Script {
    yield* this.scripted.pause();
    yield () => this.guest.devices().block0.inFlight === 0;
    this.mover.finish();
    yield () => this.ended !== null;
    assertEquals(this.ended, undefined);
  }

  isFileRight(): void {
    const bytes = Deno.readFileSync(this.file);
    assert(Buffer.compare(bytes, this.memory) === 0, "the file is not what memory is");
  }

  #file(name: string): number {
    return open(name, O_RDWR);
  }

  /** All to a new file, until the rest fits a pause. */
  *toFile(): Script {
    const tracking = this.guest.tracking.start();
    const fd = this.#file(this.file);
    this.move({ kind: "file", fd, full: true, tracking }, { allowedPauseMs: 500 });
    yield () => this.isReady;
    assertEquals(this.mover.progress.phase, "ready");
    yield* this.lastRound();
    this.isFileRight();
    const { movedBytes, rounds } = this.mover.progress;
    assert(rounds >= 2 && movedBytes > FILLED_BYTES, JSON.stringify(this.mover.progress));
    const taken = Deno.statSync(this.file).blocks! * 512;
    assert(taken < 32 * MiB, `the file takes ${taken} bytes`);
    close(fd);
    this.guest.resume();
  }

  /** Into a copy of that file what has changed since; the guest is faster, until it is stopped. */
  *changesToFile(): Script {
    const copy = `${this.#folder.path}/next`;
    Deno.copyFileSync(this.file, copy);
    const tracking = this.guest.tracking.spec!;
    const fd = this.#file(copy);
    this.move({ kind: "file", fd, full: false, tracking });
    yield () => this.stalls.length >= 2 || this.isReady;
    yield* this.lastRound();
    const bytes = Deno.readFileSync(copy);
    assert(Buffer.compare(bytes, this.memory) === 0, "the next file is not what memory is");
    assert(Buffer.compare(bytes, Deno.readFileSync(this.file)) !== 0, "nothing has changed");
    // What was written there has been taken from the changes: the older file would never get it.
    this.file = copy;
    close(fd);
    this.guest.resume();
  }

  /** Cancelled in the middle; what it had taken is in the next. */
  *cancelled(): Script {
    const tracking = this.guest.tracking.spec!;
    const fd = this.#file(this.file);
    this.move({ kind: "file", fd, full: false, tracking }, { bytesPerSecond: 1000 });
    yield () => this.mover.progress.rounds > 0;
    this.mover.cancel();
    yield () => this.ended !== null;
    assertInstanceOf(this.ended, MoveCancelled);
    this.move({ kind: "file", fd, full: false, tracking }, { allowedPauseMs: 500 });
    yield () => this.isReady;
    yield* this.lastRound();
    this.isFileRight();
    close(fd);
    this.guest.resume();
  }

  /** Through a socket into other memory, no faster than is allowed. */
  *throughStream(): Script {
    using pair = new StreamPair();
    using other = new MovedMemory({ length: 64 * MiB });
    let received: Error | undefined | null = null;
    const receiver = new Mover(this.scripted.loop, {
      memory: other.spec,
      task: { kind: "receive", fd: pair.fds[1] },
      ended: (error) => received = error,
    });
    const tracking = this.guest.tracking.spec!;
    const began = performance.now();
    this.move({ kind: "stream", fd: pair.fds[0], tracking }, {
      allowedPauseMs: 500,
      bytesPerSecond: 8 * MiB,
    });
    yield () => this.isReady;
    const seconds = (performance.now() - began) / 1000;
    const { movedBytes } = this.mover.progress;
    assert(movedBytes <= 8 * MiB * (seconds + 0.2), `${movedBytes} bytes in ${seconds} s`);
    yield* this.lastRound();
    yield () => received !== null;
    assertEquals(received, undefined);
    assert(
      Buffer.compare(other.bytes, this.memory) === 0,
      "what was received is not what memory is",
    );
    assertEquals(receiver.progress.movedBytes, this.mover.progress.movedBytes);
    this.guest.resume();
  }

  /** A stream that nobody reads does not keep anybody. */
  *stuckStream(): Script {
    using pair = new StreamPair();
    const tracking = this.guest.tracking.spec!;
    this.move({ kind: "stream", fd: pair.fds[0], tracking });
    yield () => this.mover.progress.phase === "moving";
    this.mover.cancel();
    yield () => this.ended !== null;
    assertInstanceOf(this.ended, MoveCancelled);
    // And one whose reader goes away is an error.
    using other = new StreamPair();
    this.move({ kind: "stream", fd: other.fds[0], tracking });
    other.close(1);
    yield () => this.ended !== null;
    assertEquals(this.ended?.message, "Cannot send memory: EPIPE");
  }
}

Deno.test({
  name: "a guest's memory is copied while it runs, and the copy is what it was when it stopped",
  ignore: !HAS_KVM,
  // A guest is made for a process of its own, which ends with it.
  sanitizeOps: false,
  sanitizeResources: false,
  fn() {
    using folder = new Folder();
    const busy = new Busy(folder);
    function* script(): Script {
      yield () => busy.scripted.output.length > 0;
      yield* busy.toFile();
      yield* busy.changesToFile();
      yield* busy.cancelled();
      yield* busy.throughStream();
      yield* busy.stuckStream();
      busy.guest.tracking.stop();
      assert(busy.guest.end === undefined, "the guest is through too early");
    }
    busy.scripted.run(script(), { patienceMs: PATIENCE_MS });
    assertEquals(busy.scripted.log, []);
  },
});
