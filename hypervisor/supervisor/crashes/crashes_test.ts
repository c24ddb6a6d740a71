import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ApiError } from "../api/client.ts";
import type { Crash } from "../api/schemas.ts";
import { run } from "../cli/main.ts";
import { TestHost } from "../testing/test_host.ts";
import { Crashes } from "./crashes.ts";
import { crashesOf, type PstoreRecord, takePstore } from "./pstore.ts";

async function inFolder(act: (folder: string, crashes: Crashes) => Promise<void> | void) {
  const folder = await Deno.makeTempDir();
  try {
    await act(folder, new Crashes({ directory: `${folder}/host/crashes`, log: () => {} }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const NEW = { kind: "vmm", time: "2030-01-01T00:00:00.000Z", guest: "web", title: "t" } as const;

Deno.test("crashes are kept, told without their text, and deleted", () =>
  inFolder((_, crashes) => {
    crashes.add({ ...NEW, title: "it\x1b[2J broke", text: "a\x1bb\nc" });
    const [told] = crashes.list();
    assertEquals({ ...told, id: "" }, { ...NEW, title: "it [2J broke", id: "" });
    assertEquals(crashes.get(told.id).text, "a b\nc");
    crashes.delete(told.id);
    assertEquals(crashes.list(), []);
    assertThrows(() => crashes.delete(told.id), Error, "Cannot find a crash");
  }));

Deno.test("they have a number, for each kind its own, and a size", () =>
  inFolder((folder, crashes) => {
    crashes.add({ ...NEW, kind: "kernel", guest: null, title: "panic", text: "" });
    for (let i = 0; i < 40; i++) crashes.add({ ...NEW, title: `n${i}`, text: "x".repeat(300_000) });
    const list = crashes.list();
    assertEquals(list.length, 33);
    assertEquals(list.filter(({ kind }) => kind === "kernel").length, 1);
    assertEquals(new Set(list.slice(0, 32).map(({ title }) => title)).size, 32);
    const sizes = [...Deno.readDirSync(`${folder}/host/crashes`)]
      .map(({ name }) => Deno.statSync(`${folder}/host/crashes/${name}`).size);
    assert(sizes.every((it) => it < 300_000), String(sizes));
  }));

Deno.test("what is no crash's file is passed over", () =>
  inFolder((folder, crashes) => {
    crashes.add({ ...NEW, text: "" });
    const at = `${folder}/host/crashes`;
    Deno.writeTextFileSync(`${at}/01ARZ3NDEKTSV4RRFFQ69G5FAV.json`, '{"id":');
    Deno.writeTextFileSync(`${at}/01ARZ3NDEKTSV4RRFFQ69G5FAV.json.new`, "{}");
    assertEquals(crashes.list().length, 1);
    assertThrows(() => crashes.get("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Error, "Cannot find");
  }));

const AT = new Date("2030-01-01T10:00:00Z");

function piece(name: string, text: string, time = AT): PstoreRecord {
  return { name, time, text };
}

const later = (seconds: number) => new Date(AT.getTime() + seconds * 1000);

Deno.test("pieces of one crash are put together, the oldest first, however long they took", () => {
  const next = "Panic#1 Part1\n<0>[4.4] Kernel panic - not syncing: the next start's\n";
  const records = [
    piece("dmesg-efi_pstore-189349920001001", "Panic#1 Part1\n<0>[9.9] Rebooting in 10 seconds\n"),
    piece(
      "dmesg-efi_pstore-189349920302001",
      "Panic#1 Part2\n<0>[9.8] Kernel panic - not syncing: sysrq triggered crash\n",
      later(3),
    ),
    piece(
      "dmesg-efi_pstore-189349920903001",
      "Panic#1 Part3\n<4>[9.7] denovisor: before\n",
      later(9),
    ),
    piece("dmesg-efi_pstore-189349910001001", "Oops#1 Part1\nOops: 0000\n", new Date(0)),
    piece("dmesg-efi_pstore-189349980001001", next, later(60)),
    piece("console-ramoops-0", "last words\n"),
  ];
  for (const order of [records, records.toReversed()]) {
    const found = crashesOf(order);
    assertEquals(found.map(({ crash }) => crash.title), [
      "The kernel left console-ramoops-0",
      "Oops: 0000",
      "Kernel panic - not syncing: sysrq triggered crash",
      "Kernel panic - not syncing: the next start's",
    ]);
    const { crash, names } = found[2];
    assertEquals(crash.text.match(/\[9\.\d\]/g), ["[9.7]", "[9.8]", "[9.9]"]);
    assertEquals([crash.time, names.length], ["2030-01-01T10:00:00.000Z", 3]);
  }
});

Deno.test("each record is a piece of one crash, whatever is in it", () => {
  const record = fc.record({
    name: fc.oneof(fc.string(), fc.constantFrom("dmesg-erst-1", "dmesg-erst-2", "pmsg-ramoops-0")),
    time: fc.constantFrom(AT, later(1), later(1000), new Date(0)),
    text: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.tuple(fc.constantFrom("Panic", "Oops"), fc.nat(3), fc.nat(3))
        .map(([why, count, part]) => `${why}#${count} Part${part}\ntext\n`),
    ),
  });
  fc.assert(fc.property(fc.array(record), (records) => {
    const names = crashesOf(records).flatMap(({ names }) => names);
    assertEquals(names.sort(), records.map(({ name }) => name).sort());
  }));
});

Deno.test("what the kernel kept is taken once, and its room given back", () =>
  inFolder((folder, crashes) => {
    const pstore = `${folder}/pstore`;
    const put = () => {
      Deno.mkdirSync(pstore, { recursive: true });
      for (const part of [1, 2]) {
        const path = `${pstore}/dmesg-erst-${part}`;
        Deno.writeTextFileSync(path, `Panic#1 Part${part}\nBUG: unable (${part})\n`);
        Deno.utimeSync(path, AT, AT);
      }
      Deno.writeFileSync(`${pstore}/dmesg-erst-9.enc.z`, new Uint8Array([1, 2, 3]));
      Deno.utimeSync(`${pstore}/dmesg-erst-9.enc.z`, AT, AT);
    };
    put();
    const told: string[] = [];
    const log = (_: string, message: string) => told.push(message);
    takePstore(pstore, { crashes, log });
    assertEquals([...Deno.readDirSync(pstore)], []);
    assertEquals(crashes.list().length, 2);
    // As after a power cut between the two: it is kept, and still where it was.
    put();
    takePstore(pstore, { crashes, log });
    assertEquals(crashes.list().length, 2);
    assertEquals([...Deno.readDirSync(pstore)], []);
    assertEquals(told.length, 4);
    takePstore(`${folder}/nothing`, { crashes, log });
  }));

Deno.test("a VMM that crashes leaves a crash with its last words; one that was ended does not", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dv-" });
  Deno.mkdirSync(`${folder}/pstore`);
  Deno.writeTextFileSync(`${folder}/pstore/dmesg-erst-1`, "Panic#1 Part1\nKernel panic - x\n");
  {
    await using host = await TestHost.start({ parent: folder, pstore: `${folder}/pstore` });
    const told: Crash[][] = [];
    host.supervisor.events.subscribe((change) => {
      if (change.name === "crashes") told.push(change.data);
    });
    const { id } = await host.guest({ cmdline: "crash" });
    await host.start(id).catch(() => {});
    await host.reaches(id, "failed");
    const { client } = host.local;
    const [crash, kernel] = await client.call("listCrashes", {});
    assertEquals([crash.kind, crash.guest, crash.title], ["vmm", "web", "triple fault at 0xfff0"]);
    assertEquals(kernel.kind, "kernel");
    assertEquals(told.map((it) => it.length), [2]);
    const { text } = await client.call("getCrash", { params: { id: crash.id } });
    assertStringIncludes(text, "reason   crash");
    const params = { id };
    await client.call("updateGuest", { params, body: { cmdline: "deaf" } });
    await host.start(id);
    const stopped = host.reaches(id, "stopped");
    await client.call("stopGuest", { params, body: { force: true } });
    await stopped;
    assertEquals((await client.call("listCrashes", {})).length, 2);
    let shown = "";
    const cli = (...args: string[]) =>
      run(["--socket", host.path("run/supervisor.sock"), "host", "crashes", ...args], (part) => {
        shown += part;
        return Promise.resolve();
      });
    assertEquals(await cli(), 0);
    assertStringIncludes(shown, "triple fault");
    assertEquals(await cli("show", kernel.id), 0);
    assertStringIncludes(shown, "Kernel panic - x");
    assertEquals(await cli("rm", crash.id), 0);
    const again = await client.call("deleteCrash", { params: { id: crash.id } }).catch((it) => it);
    assert(again instanceof ApiError && again.status === 404);
    assertEquals((await client.call("listCrashes", {})).map((it) => it.id), [kernel.id]);
  }
  await Deno.remove(folder, { recursive: true });
});
