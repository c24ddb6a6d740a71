/**
 * Reads YAML that anybody may have written: how long and how deep it is, and what it stands for, is bounded
 * before anything is built of it, and each mistake has its line.
 *
 * @module
 */
import { type Document, isScalar, LineCounter, parseDocument, visit } from "yaml";

/** Deeper than anything that is read here goes; what nests deeper is not even read. */
const MOST_DEPTH = 16;
/** Nobody reads more of them on a screen. */
const MOST_MISTAKES = 8;

export interface Mistake {
  /** From 1. */
  line: number;
  /** For a person. */
  reason: string;
}

/** A text without a mistake, or what is wrong with it. */
export interface YamlText {
  /** Null where there is a mistake. */
  document: Document | null;
  /** The first few. */
  mistakes: Mistake[];
  /** The line of a place in the text. */
  lineAt(offset: number): number;
}

/** Reads a text; nothing is thrown. */
export function readYaml(text: string, { mostBytes }: { mostBytes: number }): YamlText {
  try {
    return read(text, mostBytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return wrong({ line: 1, reason: `cannot be read: ${oneLine(reason)}` });
  }
}

function wrong(...mistakes: Mistake[]): YamlText {
  return { document: null, mistakes, lineAt: () => 1 };
}

function read(text: string, mostBytes: number): YamlText {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > mostBytes) {
    return wrong({ line: 1, reason: `the file has ${bytes} bytes, ${mostBytes} at most` });
  }
  const deep = tooDeep(text);
  if (deep !== null) return wrong({ line: deep, reason: `nests deeper than ${MOST_DEPTH} levels` });
  const mistakes: Mistake[] = [];
  const tell = (line: number, reason: string) => {
    if (mistakes.length < MOST_MISTAKES) mistakes.push({ line, reason });
  };
  const lines = new LineCounter();
  const document: Document = parseDocument(text, {
    ...{ lineCounter: lines, schema: "core", logLevel: "silent", prettyErrors: false },
    // Its own search for keys that stand twice compares each with each.
    uniqueKeys: false,
  });
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  for (const { pos: [at], message } of [...document.errors, ...document.warnings]) {
    tell(lineAt(at), oneLine(message));
  }
  // What an alias stands for can grow without bounds, and nothing that is read here needs one.
  visit(document, {
    Alias(_, node) {
      tell(lineAt(node.range?.[0] ?? 0), "aliases (*name) are not taken");
    },
    Map(_, { items }) {
      const names = new Set<string>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (names.has(name)) {
          tell(lineAt(key.range?.[0] ?? 0), `${oneLine(name)} stands here twice`);
        }
        names.add(name);
      }
    },
  });
  // A text that YAML itself cannot make sense of may mean anything.
  return { document: mistakes.length > 0 ? null : document, mistakes, lineAt };
}

/**
 * The line on which brackets, or the marks of lists and keys, nest too deep, without building what they
 * mean: whoever builds it calls itself for each level. Marks that are text count too.
 */
function tooDeep(text: string): number | null {
  let line = 1;
  let depth = 0;
  for (const row of text.split(/\r\n|\r|\n/)) {
    // A line's own marks open levels without anything before them.
    const marks = /^(?:\s*[-?:](?=\s|$))*/.exec(row)![0].replace(/\s/g, "").length;
    if (marks > MOST_DEPTH) return line;
    if (!/^\s*#/.test(row)) {
      for (const character of row) {
        if ("[{".includes(character)) {
          if (++depth > MOST_DEPTH) return line;
        } else if ("]}".includes(character)) depth = Math.max(0, depth - 1);
      }
    }
    line++;
  }
  return null;
}

/** A text that somebody wrote, short enough for an error. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").trim().slice(0, 120);
}
