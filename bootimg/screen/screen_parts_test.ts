import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { clip, line, paint, sensibleSize, textOf } from "./canvas.ts";
import { type Key, type KeyName, KeyParser } from "./keys.ts";
import { fit, pad, printable, size, span, wrap } from "./text.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const anyText = fc.string({ unit: "binary", maxLength: 300 });

Deno.test("no text has what a terminal would obey, or what is not one cell wide", () => {
  assertEquals(printable("a\x1b[2Jb\x9bc\u202ed\t\n e"), "a?[2Jb?c?d   e");
  assertEquals(printable("Gäste ½ 🐧 世\u00ad"), "Gäste ½ ? ??");
  fc.assert(fc.property(anyText, fc.integer({ min: 0, max: 40 }), (text, width) => {
    for (const it of [printable(text), fit(text, width), pad(text, width)]) {
      assert(/^[\x20-\x7e\xa0-\xac\xae-\xff]*$/.test(it), JSON.stringify(it));
    }
    assert(fit(text, width).length <= width);
    assertEquals(pad(text, width).length, width);
  }));
});

Deno.test("long text is broken between words, and words only where they must be", () => {
  assertEquals(wrap("one two three", 7), ["one two", "three"]);
  assertEquals(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
  fc.assert(fc.property(anyText, fc.integer({ min: 1, max: 80 }), (text, width) => {
    const lines = wrap(text, width);
    assert(lines.every((it) => it.length <= width));
    assertEquals(lines.join("").replaceAll(" ", ""), printable(text).replaceAll(" ", ""));
  }));
});

Deno.test("sizes and spans are short", () => {
  assertEquals([size(512), size(1536), size(204800), size(2 ** 21)], [
    ...["512 MiB", "1.5 GiB", "200 GiB", "2 TiB"],
  ]);
  assertEquals([span(59), span(3660), span(90000)], ["less than a minute", "1 h 1 min", "1 d 1 h"]);
});

const span_ = fc.record({
  text: anyText,
  style: fc.constantFrom("plain" as const, "bad" as const, "bar" as const),
});

Deno.test("a page has exactly the terminal's lines, none wider than it", () => {
  const lines = fc.array(fc.array(span_, { maxLength: 4 }), { maxLength: 60 });
  const any = fc.record({ columns: fc.integer(), rows: fc.integer() });
  fc.assert(fc.property(lines, any, (lines, wanted) => {
    const size = sensibleSize(wanted);
    const page = clip(lines, size);
    assertEquals(page.length, size.rows);
    for (const it of page) {
      assert(textOf(it).length <= size.columns);
      assert(!/\p{Cc}/u.test(textOf(it)));
    }
  }));
});

/** A terminal that knows what `paint` says, and nothing else. */
class FakeTerminal {
  rows: string[] = [];

  write(output: string): void {
    let row = -1;
    // deno-lint-ignore no-control-regex
    for (const part of output.split(/(\x1b\[[?0-9;]*[A-Za-z])/)) {
      // deno-lint-ignore no-control-regex
      const [, argument, command] = /^\x1b\[([?0-9;]*)([A-Za-z])$/.exec(part) ?? [];
      if (command === undefined) {
        assert(!/\p{Cc}/u.test(part), JSON.stringify(part));
        if (part !== "") this.rows[row] = (this.rows[row] ?? "") + part;
      } else if (command === "J") this.rows = [];
      else if (command === "H") {
        row = argument === "" ? 0 : Number(argument.split(";")[0]) - 1;
        this.rows[row] = "";
      } else assert("mKhl".includes(command), part);
    }
  }
}

Deno.test("after each drawing the terminal shows the page, and what did not change is not written", () => {
  const pages = fc.array(fc.array(fc.array(span_, { maxLength: 3 }), { maxLength: 12 }), {
    minLength: 1,
    maxLength: 5,
  });
  fc.assert(fc.property(pages, (pages) => {
    const size = { columns: 50, rows: 12 };
    const terminal = new FakeTerminal();
    let before: ReturnType<typeof clip> | null = null;
    for (const lines of pages) {
      const after = clip(lines, size);
      terminal.write(paint(before, after));
      for (let row = 0; row < size.rows; row++) {
        assertEquals(terminal.rows[row] ?? "", textOf(after[row]));
      }
      assertEquals(paint(after, after), "");
      before = after;
    }
  }));
  const before = clip([line("one"), line("two")], { columns: 40, rows: 10 });
  const after = clip([line("one"), line("2")], { columns: 40, rows: 10 });
  assert(!paint(before, after).includes("one"));
});

const ENCODED: Record<KeyName, string[]> = {
  up: ["\x1b[A", "\x1bOA"],
  down: ["\x1b[B"],
  left: ["\x1b[D"],
  right: ["\x1b[C"],
  home: ["\x1b[1~", "\x1b[H"],
  end: ["\x1b[4~", "\x1b[F"],
  delete: ["\x1b[3~"],
  backtab: ["\x1b[Z"],
  enter: ["\r"],
  tab: ["\t"],
  backspace: ["\x7f", "\b"],
  redraw: ["\x0c"],
  escape: ["\x03"],
};

Deno.test("keys are what was pressed, however the bytes were cut", () => {
  const named = fc.constantFrom(...Object.keys(ENCODED) as KeyName[]).chain((name) =>
    fc.constantFrom(...ENCODED[name]).map((text) => ({ key: { name } as Key, text }))
  );
  const char = fc.constantFrom(..."aZ09./:-_ äß½").map((char) => ({
    key: { char } as Key,
    text: char,
  }));
  const presses = fc.array(fc.oneof(named, char), { maxLength: 30 });
  fc.assert(fc.property(presses, fc.infiniteStream(fc.nat(4)), (presses, cuts) => {
    const bytes = bytesOf(presses.map(({ text }) => text).join(""));
    const parser = new KeyParser();
    const keys: Key[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = cuts.next().value! + 1;
      keys.push(...parser.push(bytes.subarray(at, at + length)));
      at += length;
    }
    assertEquals(keys, presses.map(({ key }) => key));
    assertEquals(parser.isOpen, false);
  }));
});

Deno.test("any bytes are the same keys however they are cut, and no key is a control", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 8 }),
    fc.constantFrom("\x1b", "\x1b[", "\x1b[[", "\x1b[1;5", "\x1bO", "A", "~").map(bytesOf),
  );
  fc.assert(fc.property(fc.array(piece), (pieces) => {
    const all = new Uint8Array(pieces.flatMap((it) => [...it]));
    const whole = new KeyParser();
    const wanted = [...whole.push(all), ...whole.flush()];
    const parser = new KeyParser();
    const keys = pieces.flatMap((it) => parser.push(new Uint8Array(it)));
    assertEquals([...keys, ...parser.flush()], wanted);
    for (const key of wanted) {
      if ("char" in key) assert(/^[\x20-\x7e\xa0-\xac\xae-\xff]$/.test(key.char));
    }
  }));
});

Deno.test("Escape alone is a key once nothing follows; function keys are none", () => {
  const parser = new KeyParser();
  assertEquals(parser.push(bytesOf("\x1b")), []);
  assert(parser.isOpen);
  assertEquals(parser.flush(), [{ name: "escape" }]);
  assertEquals(parser.push(bytesOf("\x1b\x1bq")), [
    ...[{ name: "escape" }, { name: "escape" }, { char: "q" }] as Key[],
  ]);
  assertEquals(parser.push(bytesOf("\x1b[[A\x1b[15~\x1b[1;5Cx")), [{ char: "x" }]);
  assertEquals(parser.push(bytesOf(`\x1b[${"1".repeat(50)}x`)).length < 40, true);
});
