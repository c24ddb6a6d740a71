import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { LogFields } from "../log.ts";
import { boundLog, VmmLogReader } from "./vmm_log.ts";
import { type PrintingVmm, VmmLogs } from "./vmm_logs.ts";

async function inFile(act: (path: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await act(`${folder}/log`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function print(path: string, text: string): void {
  Deno.writeTextFileSync(path, text, { append: true });
}

Deno.test("each whole line is told once, and half a line waits for its end", () =>
  inFile((path) => {
    const reader = new VmmLogReader(path);
    assertEquals(reader.read().lines, []);
    print(path, "one\ntwo\nthr");
    assertEquals(reader.read().lines, ["one", "two"]);
    assertEquals(reader.read().lines, []);
    print(path, "ee\n");
    assertEquals(reader.read(), { lines: ["three"], leftOut: 0 });
  }));

Deno.test("a file that was emptied is read from its start", () =>
  inFile((path) => {
    const reader = new VmmLogReader(path);
    print(path, "x\n".repeat(10));
    reader.read();
    for (let i = 0; i < 40; i++) print(path, "y".repeat(32 * 1024));
    reader.read();
    boundLog(path);
    print(path, "after\n");
    assertEquals(reader.read().lines, ["after"]);
  }));

Deno.test("however much is printed, a look takes little and accounts for all", () =>
  inFile((path) => {
    const text = fc.array(fc.string({ maxLength: 300 }), { maxLength: 60 })
      .map((it) => it.join("\n").replace(/[^\x20-\x7e\n]/g, "?"));
    fc.assert(fc.property(fc.array(text, { maxLength: 5 }), (texts) => {
      Deno.writeTextFileSync(path, "");
      const reader = new VmmLogReader(path);
      for (const text of texts) {
        print(path, text);
        const { lines, leftOut } = reader.read();
        assert(lines.length <= 20 && leftOut >= 0, `${lines.length}, ${leftOut}`);
        assert(lines.every((it) => it.length <= 500 && it.trim() !== ""));
      }
    }));
  }));

Deno.test("what guests' VMMs print is in the log with the guest's name; what was told before is not", () =>
  inFile((path) => {
    const told: [string, LogFields | undefined][] = [];
    print(path, "old\n");
    const found: PrintingVmm = { logFile: path, isFound: true };
    const own: PrintingVmm = { logFile: `${path}.own`, isFound: false };
    print(own.logFile, "first\n");
    using logs = {
      it: new VmmLogs({
        lives: () => [
          { record: { name: "found" }, process: found },
          { record: { name: "own" }, process: own },
          { record: { name: "stopped" }, process: null },
        ],
        log: (_, message, fields) => told.push([message, fields]),
        everyMs: 3_600_000,
      }),
      [Symbol.dispose]() {
        this.it.close();
      },
    };
    logs.it.look();
    print(path, "new\n");
    logs.it.look();
    assertEquals(told, [
      ["first", { room: "vmm", guest: "own" }],
      ["new", { room: "vmm", guest: "found" }],
    ]);
  }));
