import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { LogRecord } from "../../hypervisor/supervisor/api/log_schemas.ts";
import { Journal, type JournalOptions, parseRecord } from "./journal.ts";

const SLOW = { batchMs: 3_600_000, errorMs: 3_600_000, retryMs: 3_600_000 };

function record(seq: number, message = `message ${seq}`): LogRecord {
  return { seq, time: new Date(0).toISOString(), level: "info", room: "boot", message, fields: {} };
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function write(folder: string, seqs: number[], options: JournalOptions = {}): Promise<void> {
  const journal = await Journal.open(folder, { ...SLOW, ...options });
  for (const seq of seqs) journal.append(record(seq));
  await journal.close();
}

function files(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

async function seqsIn(folder: string): Promise<number[]> {
  const journal = await Journal.open(folder, SLOW);
  const found = await Array.fromAsync(journal.read({ from: 1, to: Infinity }));
  return found.map(({ seq }) => seq);
}

Deno.test("a batch is one write, and nothing is written before it is due", () =>
  inFolder(async (folder) => {
    const journal = await Journal.open(folder, SLOW);
    for (let seq = 1; seq <= 50; seq++) journal.append(record(seq));
    await new Promise((resolve) => setTimeout(resolve, 30));
    assertEquals(files(folder), []);
    await journal.flush();
    assertEquals(files(folder), ["0000000000000001.jsonl"]);
    assertEquals((await seqsIn(folder)).length, 50);
    await journal.close();
  }));

Deno.test("an error is written soon, with what waited before it", () =>
  inFolder(async (folder) => {
    const journal = await Journal.open(folder, { ...SLOW, errorMs: 10 });
    journal.append(record(1));
    journal.append({ ...record(2), level: "error" });
    const end = performance.now() + 20_000;
    while (files(folder).length === 0 && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await journal.flush();
    assertEquals(await seqsIn(folder), [1, 2]);
    await journal.close();
  }));

Deno.test("files have a size and a number, and the oldest go", () =>
  inFolder(async (folder) => {
    const options = { fileBytes: 1000, files: 3 };
    for (let boot = 0; boot < 10; boot++) {
      await write(folder, [...Array(30).keys()].map((it) => it + 1 + boot * 30), options);
      const sizes = files(folder).map((name) => Deno.statSync(`${folder}/${name}`).size);
      assert(sizes.length <= 3 && sizes.every((it) => it <= 1000), String(sizes));
    }
    const seqs = await seqsIn(folder);
    assertEquals(seqs.at(-1), 300);
    assert(seqs.length > 10 && seqs.every((it, i) => it === seqs[0] + i), String(seqs));
  }));

Deno.test("a cut at any byte leaves all whole lines, and the log goes on behind them", () =>
  inFolder(async (folder) => {
    await write(folder, [1, 2, 3]);
    const [name] = files(folder);
    const whole = Deno.readFileSync(`${folder}/${name}`);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length),
        fc.constantFrom("", "\0\0\0\0", '{"seq":4,', "\0\n\0"),
        async (length, rest) => {
          for (const it of files(folder)) Deno.removeSync(`${folder}/${it}`);
          const tail = new TextEncoder().encode(rest);
          Deno.writeFileSync(
            `${folder}/${name}`,
            new Uint8Array([...whole.subarray(0, length), ...tail]),
          );
          // A line without its end counts as torn, even if nothing but that is missing.
          const lines = new TextDecoder().decode(whole.subarray(0, length)).split("\n").length - 1;
          const kept = [1, 2, 3].slice(0, lines);
          const journal = await Journal.open(folder, SLOW);
          assertEquals(journal.lastSeq, lines);
          journal.append(record(7));
          await journal.close();
          assertEquals(await seqsIn(folder), [...kept, 7]);
        },
      ),
      { numRuns: 60 },
    );
  }));

Deno.test("what is in the folder besides, and lines that are no records, are passed over", () =>
  inFolder(async (folder) => {
    await write(folder, [1, 2]);
    Deno.writeTextFileSync(
      `${folder}/0000000000000003.jsonl`,
      [
        "not JSON",
        JSON.stringify(record(3)),
        JSON.stringify({ ...record(4), level: "loud" }),
        JSON.stringify(record(9_007_199_254_740_990)),
        JSON.stringify(record(2)),
        JSON.stringify(record(5)),
        "",
      ].join("\n"),
    );
    Deno.writeTextFileSync(`${folder}/notes.txt`, "x");
    assertEquals(await seqsIn(folder), [1, 2, 3, 5]);
    assertEquals((await Journal.open(folder, SLOW)).lastSeq, 5);
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (line) => {
      parseRecord(line);
    }));
  }));

Deno.test("a disk that refuses is told of once; what waits is bounded, and written when it can be", () =>
  inFolder(async (folder) => {
    const told: string[] = [];
    const journal = await Journal.open(`${folder}/journal`, {
      ...SLOW,
      onTrouble: (why) => told.push(why),
    });
    Deno.renameSync(`${folder}/journal`, `${folder}/away`);
    for (let seq = 1; seq <= 2000; seq++) {
      journal.append(record(seq, "x".repeat(1000)));
      if (seq % 500 === 0) await journal.flush();
    }
    assertEquals(told.length, 1);
    Deno.renameSync(`${folder}/away`, `${folder}/journal`);
    await journal.flush();
    const seqs = await seqsIn(`${folder}/journal`);
    assertEquals(seqs.at(-1), 2000);
    assert(seqs.length > 500 && seqs.length < 1100, String(seqs.length));
    await journal.close();
  }));
