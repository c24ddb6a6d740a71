import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { LogLevel } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { makeEntry } from "./entry.ts";
import { Journal } from "./journal.ts";
import { LogBook } from "./log_book.ts";
import { logRoutes } from "./serve.ts";

function tell(book: LogBook, message: string, level: LogLevel = "info", room = "boot"): number {
  return book.add(makeEntry({ level, room, message })).seq;
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act(`${folder}/journal`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const SLOW = { batchMs: 3_600_000, errorMs: 3_600_000, retryMs: 3_600_000 };

Deno.test("the newest are told without a place, and what follows a place is told from there", async () => {
  const book = new LogBook();
  for (let i = 1; i <= 10; i++) tell(book, `m${i}`);
  const seqs = async (query: Parameters<LogBook["read"]>[0]) =>
    (await book.read(query)).records.map(({ seq }) => seq);
  assertEquals(await seqs({ limit: 3 }), [8, 9, 10]);
  assertEquals(await seqs({ after: 2, limit: 3 }), [3, 4, 5]);
  assertEquals(await seqs({ before: 4 }), [1, 2, 3]);
  assertEquals(await seqs({ after: 10 }), []);
  assertEquals((await book.read({})).last, 10);
});

Deno.test("a level stands for itself and worse ones; a room for itself", async () => {
  const book = new LogBook();
  for (const level of ["error", "warning", "info", "debug"] as const) {
    tell(book, level, level, level === "error" ? "kernel" : "boot");
  }
  const of = async (query: Parameters<LogBook["read"]>[0]) =>
    (await book.read(query)).records.map(({ message }) => message);
  assertEquals(await of({ level: "warning" }), ["error", "warning"]);
  assertEquals(await of({ room: "kernel" }), ["error"]);
});

Deno.test("memory has an end, by number and by size", async () => {
  const few = new LogBook({ records: 10 });
  for (let i = 0; i < 100; i++) tell(few, "x");
  assertEquals(
    (await few.read({ limit: 1000 })).records.map(({ seq }) => seq),
    [
      ...Array(10).keys(),
    ].map((it) => it + 91),
  );
  const small = new LogBook({ characters: 10_000 });
  for (let i = 0; i < 100; i++) tell(small, "x".repeat(1000));
  assertEquals((await small.read({ limit: 1000 })).records.length, 9);
  assertEquals(small.since(0, 5), {
    records: (await small.read({ limit: 9 })).records.slice(0, 5),
    missed: 91,
  });
});

Deno.test("what memory forgets is on the disk, and a restart goes on counting", () =>
  inFolder(async (folder) => {
    for (let boot = 0; boot < 3; boot++) {
      const book = new LogBook({ records: 5 });
      tell(book, `early ${boot}`);
      const journal = await Journal.open(folder, SLOW);
      assertEquals(journal.lastSeq, boot * 20);
      book.keepIn(journal);
      for (let i = 1; i < 20; i++) tell(book, `${boot}.${i}`);
      await journal.flush();
      const all = await book.read({ after: 0, limit: 1000 });
      assertEquals(
        all.records.map(({ seq }) => seq),
        [...Array(20 * (boot + 1)).keys()].map((it) => it + 1),
      );
      const newest = await book.read({ limit: 12 });
      assertEquals(newest.records, all.records.slice(-12));
      const middle = await book.read({ before: 15, limit: 4 });
      assertEquals(middle.records, all.records.slice(10, 14));
      assertEquals(middle.last, 20 * (boot + 1));
      await journal.close();
    }
  }));

Deno.test("no question to the log gets a record twice, out of order or that it did not ask for", () =>
  inFolder(async (folder) => {
    const book = new LogBook({ records: 7 });
    const journal = await Journal.open(folder, { ...SLOW, fileBytes: 1000, files: 100 });
    book.keepIn(journal);
    const levels = ["error", "warning", "info", "debug"] as const;
    for (let i = 0; i < 60; i++) tell(book, "x".repeat(i), levels[i % 4]);
    await journal.flush();
    const place = fc.option(fc.nat(70), { nil: undefined });
    const query = fc.record({
      ...{ after: place, before: place },
      limit: fc.integer({ min: 1, max: 100 }),
      level: fc.option(fc.constantFrom(...levels), { nil: undefined }),
    });
    await fc.assert(fc.asyncProperty(query, async (query) => {
      const { after = 0, before = Infinity, level = "debug", limit } = query;
      const all = [...Array(60).keys()].map((it) => it + 1).filter((seq) =>
        seq > after && seq < before && (seq - 1) % 4 <= levels.indexOf(level)
      );
      const wanted = query.after === undefined ? all.slice(-limit) : all.slice(0, limit);
      assertEquals((await book.read(query)).records.map(({ seq }) => seq), wanted);
    }));
  }));

Deno.test("who follows gets each record once, as it comes, and is told what it missed", async () => {
  const book = new LogBook({ records: 10 });
  const routes = logRoutes(book);
  const get = (path: string) => routes[`GET ${path.split("?")[0]}`](new Request(`http://h${path}`));
  tell(book, "before");
  const response = await get("/log/follow?level=warning");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const next = reader.read();
  tell(book, "not that", "info");
  tell(book, "that", "warning");
  const first = JSON.parse((await next).value!);
  assertEquals(first.records.map((it: { message: string }) => it.message), ["that"]);
  for (let i = 0; i < 30; i++) tell(book, `e${i}`, "error");
  const { records, missed } = JSON.parse((await reader.read()).value!);
  assertEquals([records.length, missed], [10, 20]);
  await reader.cancel();
  const bad = await get("/log?limit=0");
  assertEquals(bad.status, 422);
  assert((await bad.json()).message.includes("limit"));
  assertEquals((await (await get("/log?after=30&limit=1")).json()).records.length, 1);
});
