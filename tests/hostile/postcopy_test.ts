/**
 * A guest that changes its memory faster than it can be sent is let go before its memory, which follows it; and
 * whoever goes away before all of it has come, the guest runs nowhere and says so.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SendRequest } from "../../hypervisor/vmm/control.ts";
import { checkUserFaults } from "../../hypervisor/sys/userfaultfd.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { BlockDriver, SECTOR_BYTES } from "./block_driver.ts";
import { changesMemory } from "./changing_guest.ts";
import { right } from "./counting_guest.ts";
import { GuestProgram } from "./guest_program.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { Between, send, Waiting } from "./migrating_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";
import { writes, WRITTEN_SECTORS } from "./writing_guest.ts";

const MIGRATED = 5;
const MiB = 2 ** 20;
/** Of its memory, again and again. */
const CHANGED_BYTES = MiB;
/** Beside them, memory that is sent once. */
const STILL_BYTES = MiB;
/** A hundredth of what it changes: too little also where others keep the processors busy. */
const BYTES_PER_SECOND = MiB;

function whyNot(): string | undefined {
  try {
    checkUserFaults();
  } catch (error) {
    return (error as Error).message;
  }
}

const problem = whyNot();
if (HAS_KVM && problem !== undefined) {
  console.warn(`Tests of memory that follows its guest are left out: ${problem}`);
}

const ignore = !HAS_KVM || problem !== undefined;
const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: ignore || !IS_THOROUGH, fn });

class Sender implements Disposable {
  readonly folder = new Folder();
  readonly control = `${this.folder.path}/control`;
  readonly program = changesMemory(CHANGED_BYTES, { stillBytes: STILL_BYTES });
  readonly guest: HostileGuest;

  constructor({ memory = "128M" }: { memory?: string } = {}) {
    this.guest = new HostileGuest(this.program, {
      ...{ vmm: VMM, folder: this.folder.path },
      args: ["--memory", memory, "--control", this.control],
    });
  }

  static async running(options?: { memory?: string }): Promise<Sender> {
    const sender = new Sender(options);
    await sender.guest.isThrough("it runs");
    return sender;
  }

  /** What was said, with the progress. */
  async send(request: Omit<SendRequest, "op">) {
    const how = { bytesPerSecond: BYTES_PER_SECOND, allowedPauseMs: 0, postCopy: true };
    const order = { op: "send", ...how, ...request };
    using connection = await ControlConnection.open(this.control, order);
    const said = [];
    for (let line = await connection.line(); line; line = await connection.line()) said.push(line);
    return said;
  }

  /** The guest is lost: it stands still here, and does not go on whoever asks. */
  async isStranded(): Promise<void> {
    const { status } = await ask(this.control, { op: "status" });
    assertMatch(
      status.pausedFor,
      /^It was given to another VMM, where its memory did not all come/,
    );
    const given = /it was given to another VMM/;
    assertMatch((await ask(this.control, { op: "resume" })).error, given);
    for (const op of ["save", "send", "fork"]) {
      const request = { op, directory: "/x", socket: "/x" };
      assertMatch((await ask(this.control, request)).error, given);
    }
    await ask(this.control, { op: "kill" });
    assertEquals((await this.guest.ended()).code, MIGRATED);
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

/** It was ended there, and that is written down. */
async function isLostThere(vmm: Waiting): Promise<void> {
  const { code, errors } = await vmm.ended();
  assertEquals(code, 1, errors);
  const { reason, message } = JSON.parse(Deno.readTextFileSync(`${vmm.folder}/exit.json`));
  assertEquals(reason, "host");
  assertMatch(message, /its memory did not all come/);
}

test("a guest that changes memory faster than it is sent moves, and its memory follows it", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const said = await sender.send({ socket: vmm.socket });
  const { sent, isHeard, pauseMs, bytes, followedBytes, missingBytes } = said.at(-1);
  assertEquals(
    [typeof sent, isHeard, missingBytes],
    ["string", true, undefined],
    Deno.inspect(said),
  );
  assert(
    followedBytes >= CHANGED_BYTES / 2 && followedBytes <= 2 * CHANGED_BYTES,
    `${followedBytes}`,
  );
  assert(bytes >= STILL_BYTES + followedBytes, `${bytes}`);
  // It did not wait for what follows, which takes longer at that rate.
  assert(pauseMs < 1000 * followedBytes / BYTES_PER_SECOND, `${pauseMs}`);
  const left = said.flatMap(({ sending }) =>
    sending?.phase === "post-copying" ? [sending.remainingBytes] : []
  );
  assert(left.length > 0 && left.every((it, i) => i === 0 || it <= left[i - 1]), `${left}`);
  const { code, errors } = await sender.guest.ended();
  assertEquals(code, MIGRATED, errors);
  await vmm.runs({ cases: sender.program.cases.slice(1) });
});

test("a device whose queue and buffers are not there yet waits for them, and works on", async () => {
  // Where the host has much else to do, the guest may change nothing between two rounds, and all of it goes
  // before.
  let followed = 0;
  for (let n = 0; n < 10 && followed === 0; n++) followed = await writerFollows();
  assert(followed > 0);
});

/** A guest that writes to its disk moves; how many bytes followed it. */
async function writerFollows(): Promise<number> {
  using folder = new Folder();
  const program = new GuestProgram();
  writes(new BlockDriver(program, { nth: 0 }));
  const disk = folder.file("disk", new Uint8Array(WRITTEN_SECTORS * SECTOR_BYTES));
  const control = `${folder.path}/control`;
  const args = ["--memory", "128M", "--disk", disk, "--control", control];
  const guest = new HostileGuest(program, { vmm: VMM, folder: folder.path, args });
  await guest.isThrough("its disk is there");
  await using vmm = await Waiting.started();
  // What it changes is what its disk reads.
  const said = await send(control, { socket: vmm.socket, allowedPauseMs: 0, postCopy: true });
  const { sent, followedBytes = 0 } = said.at(-1);
  assertEquals(typeof sent, "string", Deno.inspect(said));
  assertEquals((await guest.ended()).code, MIGRATED);
  await vmm.runs({ cases: program.cases.slice(1) });
  return followedBytes;
}

/** Does something before the `nth` pages that follow, and says whether these are to go on. */
function atPages(nth: number, action: () => boolean | Promise<boolean>) {
  let count = 0;
  return (what: string) => what !== "pages" || ++count !== nth || action();
}

test("cut off in the middle of what follows, a guest runs nowhere, and both sides say so", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: atPages(5, () => false),
  });
  const { sent, missingBytes } = (await sender.send({ socket: between.socket })).at(-1);
  assertEquals(typeof sent, "string");
  assert(missingBytes > 0 && missingBytes < CHANGED_BYTES, `${missingBytes}`);
  // It did not only wait for what comes by itself.
  assert(between.seen.includes("want"), `${between.seen}`);
  await isLostThere(vmm);
  await sender.isStranded();
});

testEach(
  "cut off right behind the word that it may run, a guest is lost all the same",
  async () => {
    using sender = await Sender.running();
    await using vmm = await Waiting.started();
    using between = new Between({
      ...{ folder: sender.folder.path, to: vmm.socket },
      pass: atPages(1, () => false),
    });
    const { missingBytes } = (await sender.send({ socket: between.socket })).at(-1);
    assert(missingBytes > 0, `${missingBytes}`);
    assert(between.seen.indexOf("go") < between.seen.indexOf("pages"), `${between.seen}`);
    await isLostThere(vmm);
    await sender.isStranded();
  },
);

test("the sender is killed in the middle: the receiver ends the guest", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: atPages(5, async () => {
      await sender.guest.kill();
      return true;
    }),
  });
  await sender.send({ socket: between.socket }).catch(() => {});
  await isLostThere(vmm);
});

test("the receiver is killed in the middle: the guest stands still at the sender", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: atPages(5, async () => {
      vmm.kill();
      await vmm.ended();
      return false;
    }),
  });
  const { missingBytes } = (await sender.send({ socket: between.socket })).at(-1);
  assert(missingBytes > 0, `${missingBytes}`);
  await sender.isStranded();
});

testEach("a sender that is told to end does, and the guest with it", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: atPages(5, async () => {
      await vmm.answer;
      await ask(sender.control, { op: "kill" });
      return true;
    }),
  });
  const { missingBytes } = (await sender.send({ socket: between.socket })).at(-1);
  assert(missingBytes > 0, `${missingBytes}`);
  assertEquals((await sender.guest.ended()).code, MIGRATED);
  await isLostThere(vmm);
});

testEach("a guest that ends there needs nothing more, and is not lost", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket },
    pass: atPages(5, async () => {
      await vmm.answer;
      await ask(vmm.control, { op: "kill" });
      return true;
    }),
  });
  const { isHeard, missingBytes } = (await sender.send({ socket: between.socket })).at(-1);
  assertEquals([isHeard, missingBytes], [true, undefined]);
  assertEquals((await vmm.ended()).code, 0);
  assertEquals((await sender.guest.ended()).code, MIGRATED);
});

for (const what of ["state", "ready"]) {
  testEach(
    `cut off before "${what}", a guest whose memory was to follow goes on where it was`,
    async () => {
      using sender = await Sender.running();
      await using vmm = await Waiting.started();
      using between = new Between({
        ...{ folder: sender.folder.path, to: vmm.socket },
        pass: (it) => it !== what,
      });
      assertMatch(
        (await sender.send({ socket: between.socket })).at(-1).error,
        /^Cannot send the guest/,
      );
      assertEquals((await vmm.ended()).code, 1);
      await sender.guest.type();
      right(await sender.guest.ended());
    },
  );
}

testEach(
  "where memory cannot follow, that is said when it does not get on, and the guest goes on",
  async () => {
    using sender = await Sender.running({ memory: "128M,mergeable" });
    await using vmm = await Waiting.started();
    const { error } = (await sender.send({ socket: vmm.socket })).at(-1);
    assertMatch(error, /which cannot follow: its memory may be merged/);
    await sender.guest.type();
    right(await sender.guest.ended());
  },
);
