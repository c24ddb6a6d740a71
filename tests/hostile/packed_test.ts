/**
 * A guest goes from one VMM to another with its memory packed, where both know how and that is of use.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SendRequest } from "../../hypervisor/vmm/control.ts";
import { ask, ControlConnection } from "../../hypervisor/vmm/testing/control_connection.ts";
import { Folder, HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { changesMemory } from "./changing_guest.ts";
import { right } from "./counting_guest.ts";
import { HostileGuest } from "./hostile_guest.ts";
import { Between, send, Waiting } from "./migrating_guest.ts";
import { IS_THOROUGH } from "./thorough.ts";

const MIGRATED = 5;
const MiB = 2 ** 20;
const CHANGED_BYTES = MiB / 4;
/** Beside them, memory that is sent once, and is as good as one word. */
const STILL_BYTES = 16 * MiB;

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: !HAS_KVM, fn });
/** One of many like it. */
const testEach = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: !HAS_KVM || !IS_THOROUGH, fn });

class Sender implements Disposable {
  readonly folder = new Folder();
  readonly control = `${this.folder.path}/control`;
  readonly program = changesMemory(CHANGED_BYTES, { stillBytes: STILL_BYTES });
  readonly guest = new HostileGuest(this.program, {
    ...{ vmm: VMM, folder: this.folder.path },
    args: ["--memory", "128M", "--control", this.control],
  });

  static async running(): Promise<Sender> {
    const sender = new Sender();
    await sender.guest.isThrough("it runs");
    return sender;
  }

  /** It has gone, and goes on there with all that it had. */
  async goesOnAt(vmm: Waiting): Promise<void> {
    const { code, errors } = await this.guest.ended();
    assertEquals(code, MIGRATED, errors);
    await vmm.runs({ cases: this.program.cases.slice(1) });
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

test("a guest's memory goes packed, and is what it was", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const request = { socket: vmm.socket, compress: "zstd", force: true } as const;
  const last = (await send(sender.control, request)).at(-1);
  const { bytes, wireBytes, isHeard } = last;
  assertEquals(isHeard, true, JSON.stringify(last));
  assert(bytes >= STILL_BYTES && wireBytes < bytes / 4, JSON.stringify(last));
  await sender.goesOnAt(vmm);
});

test("what may go in a second is what goes through the socket, and memory that is packed goes faster", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  // As it is, it would take a quarter of a minute.
  const limit = MiB;
  const request = { socket: vmm.socket, bytesPerSecond: limit, compress: "auto", force: true };
  using connection = await ControlConnection.open(sender.control, { op: "send", ...request });
  const began = performance.now();
  const progress = [];
  let last;
  for (let line = await connection.line(); line; line = await connection.line()) {
    if (line.sending) progress.push(line.sending);
    last = line;
  }
  const seconds = (performance.now() - began) / 1000;
  assertEquals(last.isHeard, true, JSON.stringify(last));
  assert(last.wireBytes < last.bytes / 2, JSON.stringify(last));
  assert(last.wireBytes < (seconds + 1) * limit + MiB, `${seconds} s, ${JSON.stringify(last)}`);
  for (const { doneBytes, wireBytes } of progress) {
    assert(wireBytes <= doneBytes * 1.01 + 4096, JSON.stringify(progress));
  }
  await sender.goesOnAt(vmm);
});

test("what the connection holds up is packed without being asked to", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket, pass: () => true },
    bytesPerSecond: 4 * MiB,
  });
  const request = { socket: between.socket, compress: "auto", force: true } as const;
  const last = (await send(sender.control, request)).at(-1);
  assertEquals(last.isHeard, true, JSON.stringify(last));
  assert(last.wireBytes < 0.7 * last.bytes, JSON.stringify(last));
  await sender.goesOnAt(vmm);
});

/** A greeting or its answer as somebody says it who knows nothing of packing. */
const before = (body: Uint8Array): Uint8Array<ArrayBuffer> => {
  const { compress: _, ...known } = JSON.parse(new TextDecoder().decode(body));
  return new TextEncoder().encode(JSON.stringify(known));
};

/** How two releases meet: the receiver does not hear what it is asked, or answers without a word, or as before. */
const MEETINGS: Record<string, (what: string, body: Uint8Array<ArrayBuffer>) => typeof body> = {
  "does not understand the question": (what, body) => what === "hello" ? before(body) : body,
  "answers nothing": (what, body) => what === "welcome" ? new Uint8Array() : body,
  "answers what it knows": (what, body) => what === "welcome" ? before(body) : body,
};

for (const [name, change] of Object.entries(MEETINGS)) {
  testEach(`a receiver of the release before, which ${name}, gets pages as they are`, async () => {
    using sender = await Sender.running();
    await using vmm = await Waiting.started();
    let packed = 0;
    using between = new Between({
      ...{ folder: sender.folder.path, to: vmm.socket, pass: () => true },
      change(what, body) {
        if (what === "packed") packed++;
        return change(what, body);
      },
    });
    const request = { socket: between.socket, compress: "zstd", force: true } as const;
    const { isHeard, bytes, wireBytes } = (await send(sender.control, request)).at(-1);
    assertEquals([isHeard, packed], [true, 0]);
    assert(wireBytes >= bytes);
    await sender.goesOnAt(vmm);
  });
}

testEach("a sender of the release before asks nothing, and is told nothing", async () => {
  using sender = await Sender.running();
  await using vmm = await Waiting.started();
  const heard: string[] = [];
  using between = new Between({
    ...{ folder: sender.folder.path, to: vmm.socket, pass: () => true },
    change(what, body) {
      if (what === "hello") assertEquals(body, before(body));
      heard.push(`${what} ${body.length}`);
      return body;
    },
  });
  const request = { socket: between.socket, force: true };
  assertEquals((await send(sender.control, request)).at(-1).isHeard, true);
  assertEquals(heard[1], "welcome 0");
  await sender.goesOnAt(vmm);
});

/** With which a frame begins. */
const MAGIC = [0x28, 0xB5, 0x2F, 0xFD];

/** What somebody between may do to a list of places and the frame behind it. */
const FORGERIES: Record<string, [why: RegExp, forge: (body: Uint8Array<ArrayBuffer>) => void]> = {
  "a frame that is none": [/does not unpack/, (body) => {
    const at = body.findIndex((_, i) => MAGIC.every((byte, j) => body[i + j] === byte));
    body.fill(0xFF, at, at + MAGIC.length);
  }],
  "a place that is not in RAM": [/are not in RAM/, (body) => body[5] = 0x7F],
};

for (const [name, [why, forge]] of Object.entries(FORGERIES)) {
  testEach(`${name} is refused in clear words, and the guest goes on here`, async () => {
    using sender = await Sender.running();
    await using vmm = await Waiting.started();
    using between = new Between({
      ...{ folder: sender.folder.path, to: vmm.socket, pass: () => true },
      change(what, body) {
        if (what === "packed") forge(body);
        return body;
      },
    });
    const order: Omit<SendRequest, "op"> = { socket: between.socket, compress: "zstd" };
    const said = await send(sender.control, order);
    assertMatch(said.at(-1).error, /^Cannot send the guest/);
    assertMatch((await vmm.answer).error, why);
    assertEquals((await vmm.ended()).code, 1);
    assertEquals((await ask(sender.control, { op: "status" })).status.pausedFor, undefined);
    await sender.guest.type();
    right(await sender.guest.ended());
  });
}
