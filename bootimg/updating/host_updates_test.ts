import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FIRST_STATE, type SystemName } from "../slots/boot_state.ts";
import { markGood, readSystems, type SlotDisk, takeState } from "../slots/slots.ts";
import { PowerCut } from "../testing/power_cut.ts";
import { makeSystemDisk, startFrom } from "../testing/system_disk.ts";
import { tinySystem, unifiedKernel } from "../testing/unified_kernel.ts";
import { formatSigned, statementOf, type SystemFacts } from "../update/statement.ts";
import { HostUpdates } from "./host_updates.ts";
import { PERMISSION_MS } from "./permission.ts";
import { UpdateRefusal } from "./refusal.ts";

const PAIR = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
const KEY = `-----BEGIN PUBLIC KEY-----\n${
  new Uint8Array(await crypto.subtle.exportKey("spki", PAIR.publicKey)).toBase64()
}\n-----END PUBLIC KEY-----\n`;
const SYSTEM = new Uint8Array(tinySystem("quiet of=2"));
const VERSIONS: Record<SystemName, string> = { image: "1.0.0", a: "2.0.0", b: "3.0.0" };

async function sign(bytes: Uint8Array<ArrayBuffer>, version: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const facts: SystemFacts = { version, bytes: bytes.length, sha256: digest };
  const signature = await crypto.subtle.sign("Ed25519", PAIR.privateKey, statementOf(facts));
  return formatSigned({ ...facts, signature: new Uint8Array(signature) });
}

/** A host on disks that are files. */
class Bench implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync();
  readonly logged: string[] = [];
  readonly forgotten: SystemName[] = [];
  disks: SlotDisk[] = [];
  running: SystemName = "image";
  host!: HostUpdates;
  /** Whether the host is on trial now. */
  isTrial = false;

  static async open(count = 1): Promise<Bench> {
    const bench = new Bench();
    for (let i = 0; i < count; i++) {
      bench.disks.push(await makeSystemDisk(`${bench.folder}/sd${i}`));
    }
    await bench.start();
    return bench;
  }

  /** Starts from the disk of that number, which then is the first. */
  async start(from = 0): Promise<void> {
    const [own] = this.disks.splice(from, 1);
    this.disks.unshift(own);
    this.running = await startFrom(own);
    const { state } = await readSystems(own);
    this.host = new HostUpdates({
      ...{ version: VERSIONS[this.running], running: this.running, key: () => KEY },
      find: () => Promise.resolve(this.disks),
      folder: `${this.folder}/host`,
      forgetSettings: (system) => this.forgotten.push(system),
      log: (text) => this.logged.push(text),
    });
    this.isTrial = state.tried === this.running && state.good !== this.running;
    if (this.isTrial) {
      const told = {
        ...{ system: this.running, secondsLeft: 9, waitsFor: "the console answers" },
      };
      this.host.onTrial({ told, giveUp() {} });
    }
    await this.host.begin();
  }

  async put(version = VERSIONS.a, bytes = SYSTEM, signature?: string | null) {
    const text = signature === undefined ? await sign(bytes, version) : signature;
    return await this.host.take({ body: new Blob([bytes]).stream(), bytes: bytes.length }, text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function refused(act: Promise<unknown>, status: number, why: string): Promise<void> {
  const error = await assertRejects(() => act, UpdateRefusal, why);
  assertEquals(error.status, status);
}

Deno.test("an update is written, tried, kept, and can be undone", async () => {
  await using bench = await Bench.open();
  const before = await bench.host.tell();
  assertEquals([before.good, before.ready, before.undo, before.whyNot], [
    ...["image", null, null, null],
  ]);
  assertEquals(before.systems, { image: { version: "1.0.0" }, a: null, b: null });
  const put = await bench.put();
  assertEquals(put.ready, { version: "2.0.0", system: "a" });
  assertEquals([put.job?.phase, put.job?.isOver, put.job?.error], ["ready", true, null]);
  assertEquals(bench.forgotten, ["a"]);

  await bench.start();
  const trial = await bench.host.tell();
  assertEquals([trial.running.system, trial.good, trial.ready], ["a", "image", null]);
  assertEquals(trial.trial?.waitsFor, "the console answers");
  assertEquals(trial.undo, { version: "1.0.0", system: "image" });
  await refused(bench.put("3.0.0"), 409, "has to prove itself first");
  await bench.host.passed("a");
  const kept = await bench.host.tell();
  assertEquals([kept.good, kept.trial, kept.last?.outcome], ["a", null, "kept"]);
  assertEquals(kept.undo, { version: "1.0.0", system: "image" });

  const undone = await bench.host.undo();
  assertEquals([undone.ready, undone.undo], [{ version: "1.0.0", system: "image" }, null]);
  await refused(bench.put("3.0.0"), 409, "restart the host first");
  await bench.start();
  const back = await bench.host.tell();
  assertEquals([back.running.system, back.last?.outcome, back.undo], ["image", "undone", null]);
});

Deno.test("an update that does not come up is told with what is known of why", async () => {
  await using bench = await Bench.open();
  await bench.put();
  // The loader tried it, and its kernel panicked.
  assertEquals(await startFrom(bench.disks[0]), "a");
  await bench.start();
  const first = await bench.host.tell();
  assertEquals([first.running.system, first.last?.outcome], ["image", "fell back"]);
  assertStringIncludes(first.last!.why!, "It did not start");
  assertStringIncludes(bench.host.fellBack!, "the update to 2.0.0 was not kept");

  await bench.put();
  await bench.start();
  await bench.start();
  assertStringIncludes((await bench.host.tell()).last!.why!, "It started, and then crashed");

  await bench.put();
  await bench.start();
  bench.host.failed("It did not prove itself in 600 s");
  await bench.start();
  assertEquals((await bench.host.tell()).last?.why, "It did not prove itself in 600 s");
  assertEquals((await bench.host.tell()).undo, null);
});

Deno.test("systems go round: the slot that neither runs nor was good is the next", async () => {
  await using bench = await Bench.open();
  await bench.put();
  await bench.start();
  await bench.host.passed("a");
  assertEquals((await bench.put("3.0.0")).ready, { version: "3.0.0", system: "b" });
  await bench.start();
  await bench.host.passed("b");
  assertEquals((await bench.host.tell()).undo, { version: "2.0.0", system: "a" });
});

Deno.test("a trial can be undone before it is over", async () => {
  await using bench = await Bench.open();
  await bench.put();
  await bench.start();
  const undone = await bench.host.undo();
  assertEquals(undone.ready, { version: "1.0.0", system: "image" });
  await refused(bench.host.takeBack(), 409, "has not proved itself");
  await bench.start();
  assertEquals((await bench.host.tell()).last?.outcome, "undone");
});

Deno.test("what is ready can be taken back, an update as well as an undoing", async () => {
  await using bench = await Bench.open();
  await refused(bench.host.takeBack(), 409, "none is ready");
  await bench.put();
  assertEquals((await bench.host.takeBack()).ready, null);
  await bench.start();
  assertEquals([bench.running, (await bench.host.tell()).last], ["image", null]);
  await bench.put();
  await bench.start();
  await bench.host.passed("a");
  await bench.host.undo();
  const taken = await bench.host.takeBack();
  assertEquals([taken.ready, taken.good], [null, "a"]);
  assertEquals(taken.undo, { version: "1.0.0", system: "image" });
  await refused(bench.host.cancel(), 409, "none is being taken");
});

Deno.test("what is not signed, older or not whole is refused, and writes nothing", async () => {
  await using bench = await Bench.open();
  const other = SYSTEM.slice();
  other[300] ^= 1;
  await refused(bench.put("2.0.0", SYSTEM, null), 422, "it is not signed");
  await refused(bench.put("0.9.0"), 422, "older than 1.0.0");
  await refused(bench.put("2.0.0", other, await sign(SYSTEM, "2.0.0")), 422, "not the file");
  const cut = { body: new Blob([SYSTEM.slice(9)]).stream(), bytes: SYSTEM.length };
  const signature = await sign(SYSTEM, "2.0.0");
  await refused(bench.host.take(cut, signature), 400, "bytes have come");
  const long = { body: new Blob([SYSTEM]).stream(), bytes: 9 };
  await refused(bench.host.take(long, signature), 413, "over 9 bytes");
  const broken = new ReadableStream({ pull: (it) => it.error(new Error("the line is cut")) });
  await refused(bench.host.take({ body: broken, bytes: 9 }, signature), 400, "the line is cut");
  const told = await bench.host.tell();
  assertEquals([told.systems.a, told.ready, told.job?.isOver], [null, null, true]);
  assertEquals([...Deno.readDirSync(`${bench.folder}/host`)].map(({ name }) => name), [
    "update.json",
  ]);
});

Deno.test("who stands before the host allows one that is older, or that nobody signed", async () => {
  await using bench = await Bench.open();
  const release = new TextEncoder().encode('ID=denovisor\nVERSION_ID="0.9.0"\n');
  const unsigned = new Uint8Array(unifiedKernel({
    ".osrel": release,
    ".cmdline": new TextEncoder().encode("quiet"),
    ...{ ".initrd": new Uint8Array(9), ".linux": new Uint8Array(9) },
  }));
  bench.host.permission.give();
  assertEquals((await bench.put("", unsigned, null)).ready?.version, "0.9.0");
  await refused(bench.put("", unsigned, null), 422, "it is not signed");
  bench.host.permission.give();
  assertEquals((await bench.put("0.8.0")).ready?.version, "0.8.0");
  bench.host.permission.give();
  const other = SYSTEM.slice();
  other[300] ^= 1;
  const text = await sign(SYSTEM, "0.7.0");
  await refused(bench.put("", other, text), 422, "is not the file that was signed");
  await refused(bench.put("", SYSTEM, null), 422, "names none");
  assert(bench.host.permission.holds, "it was not used");
  assert(PERMISSION_MS > 0);
});

Deno.test("one at a time, and it can be cancelled until it is ready", async () => {
  await using bench = await Bench.open();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const taken = refused(
    bench.host.take({ body: readable, bytes: SYSTEM.length }, await sign(SYSTEM, "2.0.0")),
    409,
    "was cancelled",
  );
  await writer.write(SYSTEM.slice(0, 10));
  await refused(bench.put(), 409, "another one is being taken");
  await refused(bench.host.undo(), 409, "nothing to go back to");
  // Nothing more comes.
  assertEquals((await bench.host.cancel()).job?.error, "The update was cancelled");
  await taken;
  assertEquals((await bench.put()).ready?.system, "a");
});

Deno.test("both disks of a mirror get the update, and the state", async () => {
  await using bench = await Bench.open(2);
  await bench.put();
  for (const disk of bench.disks) {
    const { state, slots } = await readSystems(disk);
    assertEquals([state.try, slots.a?.version], ["a", "2.0.0"]);
  }
  // The loader notes on one disk alone that it tried it; the other learns it from process 1.
  await bench.start();
  assertEquals((await readSystems(bench.disks[1])).state.try, null);
  await bench.host.passed("a");
  for (const disk of bench.disks) assertEquals((await readSystems(disk)).state.good, "a");
  await bench.start(1);
  assertEquals([bench.running, bench.isTrial], ["a", false]);
  await bench.host.undo();
  for (const disk of bench.disks) assertEquals((await readSystems(disk)).state.good, "image");
});

Deno.test("disks whose slots are not the same are not updated by halves", async () => {
  await using bench = await Bench.open(2);
  await bench.put();
  await bench.start();
  await bench.host.passed("a");
  // One that was in another host for a while.
  await takeState(await makeSystemDisk(bench.disks[1].path), { ...FIRST_STATE, good: "b" });
  await refused(bench.put("3.0.0"), 409, "do not have the same systems");
  await bench.start();
  assert(bench.logged.some((it) => it.includes("has another system in slot a")));
});

for (const count of [1, 2]) {
  Deno.test(`whenever the power goes, ${count} disk(s) start the old system or try the new one once`, async () => {
    let tried = 0;
    let at = 0;
    for (let isOver = false; !isOver; at++) {
      await using bench = await Bench.open(count);
      {
        using cut = new PowerCut(at);
        await bench.put().catch(() => {});
        isOver = !cut.hasCut;
      }
      for (let from = 0; from < count; from++) {
        // Whichever disk the firmware takes: at most one trial, and never a slot that is not whole.
        await bench.start(from);
        if (bench.running === "a") {
          tried++;
          assertEquals((await readSystems(bench.disks[0])).slots.a?.version, "2.0.0");
          assert(bench.isTrial);
        }
      }
      await bench.start();
      await bench.start();
      assertEquals([bench.running, (await bench.host.tell()).ready], ["image", null], `at ${at}`);
      // What is left does not keep the next one from coming to its end.
      assertEquals((await bench.put()).ready?.system, "a");
    }
    assert(at > 10 && tried > 0, `${at} ${tried}`);
  });

  Deno.test(`whenever the power goes as ${count} disk(s) keep the new system, one of the two runs`, async () => {
    const good = new Set<SystemName>();
    for (let at = 0, isOver = false; !isOver; at++) {
      await using bench = await Bench.open(count);
      await bench.put();
      await bench.start();
      {
        using cut = new PowerCut(at);
        await bench.host.passed("a").catch(() => {});
        isOver = !cut.hasCut;
      }
      await bench.start();
      good.add(bench.running);
      const told = await bench.host.tell();
      const outcome = told.last?.outcome;
      assertEquals(outcome, bench.running === "a" ? "kept" : "fell back", `at ${at}`);
      for (const disk of bench.disks) {
        assertEquals((await readSystems(disk)).state.good, bench.running, `at ${at}`);
      }
    }
    assertEquals([...good].sort(), ["a", "image"]);
  });
}

Deno.test("whenever the power goes as the update is undone, one of the two runs, and it is told right", async () => {
  const ran = new Set<SystemName>();
  for (let at = 0, isOver = false; !isOver; at++) {
    await using bench = await Bench.open();
    await bench.put();
    await bench.start();
    await bench.host.passed("a");
    {
      using cut = new PowerCut(at);
      await bench.host.undo().catch(() => {});
      isOver = !cut.hasCut;
    }
    await bench.start();
    ran.add(bench.running);
    const { last, undo } = await bench.host.tell();
    const isBack = bench.running === "image";
    assertEquals([last?.outcome, undo === null], isBack ? ["undone", true] : ["kept", false]);
  }
  assertEquals([...ran].sort(), ["a", "image"]);
});

Deno.test("a host without a data partition, or without slots, says why it cannot be updated", async () => {
  await using bench = await Bench.open();
  const of = (folder: string | null, disks: SlotDisk[]) =>
    new HostUpdates({
      ...{ version: "1.0.0", running: null, folder, key: () => KEY, log() {} },
      find: () => Promise.resolve(disks),
    });
  const inMemory = of(null, bench.disks);
  await inMemory.begin();
  assertStringIncludes((await inMemory.tell()).whyNot!, "nothing is kept");
  const bare = of(`${bench.folder}/host`, []);
  await bare.begin();
  assertStringIncludes((await bare.tell()).whyNot!, "no room for a second system");
  await refused(
    bare.take({ body: new Blob([SYSTEM]).stream(), bytes: SYSTEM.length }, null),
    409,
    "no room for a second system",
  );
  await assertRejects(() => markGood(bench.disks[0], "b"), Error, "no system in it");
});
