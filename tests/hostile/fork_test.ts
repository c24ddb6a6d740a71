/**
 * A guest of a few instructions that is forked while it counts, and others that go on from there.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { VIRTIO_ID } from "../../hypervisor/devices/virtio/device.ts";
import { PORT } from "../../hypervisor/machine/address_map.ts";
import { ask } from "../../hypervisor/vmm/testing/control_connection.ts";
import {
  fork,
  type Forked,
  goOn,
  PassingConnection,
} from "../../hypervisor/vmm/testing/passing_connection.ts";
import { HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, diskImage } from "./block_driver.ts";
import { GuestDriver } from "./guest_driver.ts";
import { GuestProgram } from "./guest_program.ts";
import { WaitingGuest } from "./waiting_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MiB = 2 ** 20;
const PAGE = 4096;
/** Where the guest's pattern lies: pieces of 2 MiB of its RAM. */
const PATTERN = { at: 64 * MiB, bytes: 4 * MiB };
/** What the pattern is before anybody has typed anything. */
const FIRST = 0x1111_1111;
const LSR_DATA_READY = 1;

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xFF);

/** What a guest found when somebody typed a byte at it. */
interface Seen {
  /** How far it had counted, in memory; and in a register less that. */
  count: number;
  difference: number;
  /** Its pattern's first and last word until then; it has become the byte. */
  first: number;
  last: number;
  /** The pattern's first word after the balloon took it, where there is one. */
  given: number;
}

const WORDS = 5;

/** Counts until a byte is typed, tells what it sees, and fills its pattern with the byte; over and over. */
function countsAndFills(rounds: number, options: { balloon?: boolean } = {}) {
  const program = new GuestProgram();
  const { code } = program;
  const disk = new BlockDriver(program, { nth: 0 });
  disk.virtio.start();
  const balloon = options.balloon
    ? new GuestDriver(program, VIRTIO_ID.balloon, { queues: 2 })
    : undefined;
  balloon?.start();
  const numbers = program.allocate(PAGE);
  for (let page = 0; balloon !== undefined && page < 512; page++) {
    program.write(numbers + 4 * page, 4, PATTERN.at / PAGE + page);
  }
  const [counter, typed] = [program.allocate(8), program.allocate(4)];
  program.write(counter, 8, 0);
  program.fill(PATTERN.at, PATTERN.bytes, FIRST);
  code.raw(0x45, 0x31, 0xF6); // xor r14d, r14d
  program.case("it runs", () => {
    program.read(PATTERN.at, 4);
    program.expect("the pattern", FIRST);
  });
  for (let round = 0; round < rounds; round++) {
    code.until(LSR_DATA_READY, () => {
      // inc r14; inc qword [counter]
      code.raw(0x49, 0xFF, 0xC6, 0x48, 0xFF, 0x04, 0x25, ...u32(counter));
      program.in(PORT.COM1 + 5, 1);
      code.and(LSR_DATA_READY);
    });
    program.in(PORT.COM1, 1);
    code.address(typed);
    code.store(4);
    program.case(`round ${round}`, () => {
      const tell = (what: string) => program.expect(what, () => true);
      program.read(counter, 4);
      tell("the counter");
      // mov eax, [counter]; sub eax, r14d
      code.raw(0x8B, 0x04, 0x25, ...u32(counter), 0x44, 0x29, 0xF0);
      tell("the difference");
      for (const at of [PATTERN.at, PATTERN.at + PATTERN.bytes - 4]) {
        program.read(at, 4);
        tell("the pattern");
      }
      if (balloon !== undefined) {
        balloon.chain([{ address: numbers, length: 2048 }]);
        balloon.offer([0]);
        balloon.kick();
        program.wait(balloon.rings().used + 2, 2, round + 1);
      }
      program.read(PATTERN.at, 4);
      tell("the pattern's first page");
    });
    // push rdi; mov edi, PATTERN; mov ecx, its words; mov eax, [typed]; rep stosd; pop rdi
    code.raw(0x57, 0xBF, ...u32(PATTERN.at), 0xB9, ...u32(PATTERN.bytes / 4));
    code.raw(0x8B, 0x04, 0x25, ...u32(typed), 0xF3, 0xAB, 0x5F);
  }
  program.case("its disk works", () => disk.readsSector(5));
  return program;
}

/** Guests of one program. */
class Family implements AsyncDisposable {
  readonly #program: GuestProgram;
  readonly #memory: Record<string, unknown>;
  readonly #guests: WaitingGuest[] = [];

  constructor(program: GuestProgram, memory: Record<string, unknown> = {}) {
    this.#program = program;
    this.#memory = memory;
  }

  /** What a guest of its own is to be, in its folder. */
  config(guest: WaitingGuest): Record<string, unknown> {
    return {
      ...{ name: "member", kernel: `${guest.folder.path}/kernel`, cmdline: "" },
      ...{ memoryMiB: 128, cpus: 1, nets: [] },
      disks: [{ path: guest.folder.file("disk", diskImage()) }],
      ...this.#memory,
    };
  }

  async wait(): Promise<WaitingGuest> {
    const guest = await WaitingGuest.start();
    this.#guests.push(guest);
    return guest;
  }

  /** One that boots. */
  async boot(): Promise<WaitingGuest> {
    const guest = await this.wait();
    guest.folder.file("kernel", this.#program.toKernel());
    const answer = await ask(guest.socket, { op: "run", config: this.config(guest) });
    assertEquals(answer.error, undefined);
    assertEquals(await guest.words(1), [FIRST]);
    return guest;
  }

  /** One that goes on from a fork. */
  async child(forked: Forked): Promise<WaitingGuest> {
    const guest = await this.wait();
    const answer = await goOn(guest.socket, forked, this.config(guest));
    assertEquals(answer.error, undefined);
    await guest.pause();
    return guest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) await guest[Symbol.asyncDispose]();
  }
}

/** Types a byte at a guest; what it tells. It stands still before and after, for they are many. */
async function round(guest: WaitingGuest, byte: number): Promise<Seen> {
  await guest.resume();
  await guest.type(byte);
  const [count, difference, first, last, given] = await guest.words(WORDS);
  await guest.pause();
  assertEquals(difference, 0);
  assertEquals(first, last);
  return { count, difference, first, last, given };
}

/** The guest comes to its end, with its disk in order. */
async function ends(guest: WaitingGuest, program: GuestProgram): Promise<void> {
  const { expectations } = program.cases.at(-1)!;
  await guest.resume();
  const words = await guest.words(expectations.length);
  expectations.forEach(({ what, wanted }, i) => {
    const isRight = typeof wanted === "number" ? words[i] === wanted >>> 0 : wanted(words[i]);
    assert(isRight, `${what} is ${words[i]}`);
  });
  assertEquals((await guest.ended()).code, 0);
}

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

testEach(
  "a guest and three that go on from it each have their own, and their children too",
  async () => {
    const program = countsAndFills(3);
    await using family = new Family(program);
    const parent = await family.boot();
    using forked = await fork(parent.socket);
    assertEquals(forked.copiedBytes, 0);
    const children = [];
    for (let i = 0; i < 3; i++) children.push(await family.child(forked));
    const all = [parent, ...children];
    for (const [i, guest] of all.entries()) assertEquals((await round(guest, i + 1)).first, FIRST);
    // The second one's children, at another time.
    using again = await fork(children[0].socket);
    assert(again.copiedBytes >= PATTERN.bytes, `${again.copiedBytes}`);
    const grandchild = await family.child(again);
    for (const [i, guest] of all.entries()) assertEquals((await round(guest, 10 + i)).first, i + 1);
    assertEquals((await round(grandchild, 20)).first, 2);
    // From the first instant, there may be more at any time.
    const late = await family.child(forked);
    assertEquals((await round(late, 30)).first, FIRST);
    for (const [i, guest] of all.entries()) {
      assertEquals((await round(guest, 0)).first, 10 + i);
      await ends(guest, program);
    }
    assertEquals((await round(grandchild, 0)).first, 20);
    await ends(grandchild, program);
  },
);

test("who goes on from a guest does not depend on it, nor it on them", async () => {
  const program = countsAndFills(2);
  await using family = new Family(program);
  const parent = await family.boot();
  using forked = await fork(parent.socket);
  const [one, two] = [await family.child(forked), await family.child(forked)];
  await one.kill();
  const seen = await round(parent, 5);
  assertEquals(seen.first, FIRST);
  await parent.kill();
  assertEquals((await round(two, 6)).first, FIRST);
  const late = await family.child(forked);
  assertEquals((await round(late, 7)).first, FIRST);
  for (const [guest, byte] of [[two, 6], [late, 7]] as const) {
    assertEquals((await round(guest, 0)).first, byte);
    await ends(guest, program);
  }
});

testEach(
  "what one gives back is gone for it alone, and its old content does not return",
  async () => {
    const program = countsAndFills(3, { balloon: true });
    await using family = new Family(program, { balloon: {} });
    const parent = await family.boot();
    using forked = await fork(parent.socket);
    const [one, two] = [await family.child(forked), await family.child(forked)];
    assertEquals((({ first, given }) => [first, given])(await round(one, 5)), [FIRST, 0]);
    assertEquals((({ first, given }) => [first, given])(await round(parent, 6)), [FIRST, 0]);
    // What the others have given away is still its own.
    assertEquals((({ first, given }) => [first, given])(await round(two, 7)), [FIRST, 0]);
    for (const [guest, byte] of [[one, 5], [parent, 6], [two, 7]] as const) {
      assertEquals((({ first, given }) => [first, given])(await round(guest, 9)), [byte, 0]);
    }
    const { devices } = await ask(one.socket, { op: "devices" });
    assertEquals(devices.balloon0.failedMiB ?? 0, 0);
  },
);

testEach(
  "a guest that is held stands still until it is let go, and goes on if nobody does",
  async () => {
    const program = countsAndFills(2);
    await using family = new Family(program);
    const parent = await family.boot();
    {
      using connection = new PassingConnection(parent.socket, { op: "fork", hold: true });
      assertEquals((await connection.line()).ok, true);
      assertEquals(await connection.line(), { held: true });
      assertEquals((await parent.status()).pausedFor, "It is being forked");
      for (const op of ["fork", "devices", "resume"]) {
        assertMatch((await ask(parent.socket, { op })).error, /is being forked/);
      }
      const save = { op: "save", directory: `${parent.folder.path}/snapshot` };
      assertMatch((await ask(parent.socket, save)).error, /it is being forked already/);
    }
    while ((await parent.status()).pausedFor !== undefined);
    // What was given up has left RAM as it was, of which there is nothing to copy.
    let held = 0;
    using forked = await fork(parent.socket, async () => {
      assertEquals((await parent.status()).pausedFor, "It is being forked");
      held++;
    });
    assertEquals([held, forked.copiedBytes], [1, 0]);
    const child = await family.child(forked);
    for (const guest of [parent, child]) assertEquals((await round(guest, 4)).first, FIRST);
    for (const guest of [parent, child]) assertEquals((await round(guest, 0)).first, 4);
    for (const guest of [parent, child]) await ends(guest, program);
  },
);

testEach("one that was paused stays so, and who goes on from it runs", async () => {
  const program = countsAndFills(1);
  await using family = new Family(program);
  const parent = await family.boot();
  await ask(parent.socket, { op: "pause" });
  using forked = await fork(parent.socket);
  assertEquals((await parent.status()).pausedFor, "It was told to pause");
  const child = await family.child(forked);
  assertEquals((await round(child, 4)).first, FIRST);
  await ends(child, program);
  await ask(parent.socket, { op: "resume" });
  assertEquals((await round(parent, 4)).first, FIRST);
});

for (const memory of [{ mergeable: true }, { hugePages: "none" }]) {
  test(`memory that is ${Object.keys(memory)[0]} can be forked`, async () => {
    const program = countsAndFills(1);
    await using family = new Family(program, { memory });
    const parent = await family.boot();
    using forked = await fork(parent.socket);
    assertEquals(forked.copiedBytes > 0, memory.mergeable ?? false);
    const child = await family.child(forked);
    assertEquals((await round(parent, 4)).first, FIRST);
    assertEquals((await round(child, 4)).first, FIRST);
    await ends(child, program);
  });
}

test("memory that can be added to cannot be forked, and the guest goes on", async () => {
  const program = countsAndFills(1);
  await using family = new Family(program, { memory: { hotplugMiB: 128 } });
  const parent = await family.boot();
  await assertRejects(() => fork(parent.socket), Error, "mapped twice");
  assertEquals((await parent.status()).pausedFor, undefined);
  assertEquals((await round(parent, 4)).first, FIRST);
  await ends(parent, program);
});

test("what is no fork, or another machine's, is refused before anything runs", async () => {
  const program = countsAndFills(1);
  await using family = new Family(program);
  const parent = await family.boot();
  using forked = await fork(parent.socket);
  const refused = async (
    descriptors: readonly number[],
    change: Record<string, unknown> = {},
  ): Promise<string> => {
    const guest = await family.wait();
    const config = { ...family.config(guest), ...change };
    const answer = await goOn(guest.socket, { ...forked, descriptors } as Forked, config);
    assertEquals((await guest.ended()).code, 2);
    return answer.error;
  };
  const [state, memory] = forked.descriptors;
  using other = Deno.openSync("/dev/null");
  assertEquals(other.isTerminal(), false);
  assertMatch(await refused([state]), /^Cannot go on from a fork: 2 descriptors .* and 1 did$/);
  assertMatch(await refused([0, memory]), /its state is no file in memory that is sealed/);
  assertMatch(await refused([memory, memory]), /its state has 134217728 bytes, and /);
  assertMatch(await refused([state, state]), /its memory has \d+ bytes, and should have 134217728/);
  assertMatch(await refused([state, memory], { cpus: 2 }), /cpus is another than it was/);
  assertMatch(await refused([state, memory], { memoryMiB: 1 }), /the memory in MiB 1/);
  assertEquals((await round(parent, 4)).first, FIRST);
});
