/**
 * A full-screen page as lines of styled text, and how a terminal is made to show it.
 *
 * @module
 */
import { printable } from "./text.ts";

/** How a piece of text looks. */
export type Style = "plain" | "soft" | "strong" | "label" | "good" | "bad" | "bar" | "chosen";

/** A piece of a line. */
export interface Span {
  text: string;
  style: Style;
}

export type Line = readonly Span[];

export interface Size {
  columns: number;
  rows: number;
}

/** What a terminal has that does not say. */
export const USUAL_SIZE: Size = { columns: 80, rows: 25 };
/** Whatever a terminal says, no page is larger. */
const LARGEST: Size = { columns: 240, rows: 100 };
const SMALLEST: Size = { columns: 40, rows: 10 };

/** A size that a page can be drawn in. */
export function sensibleSize({ columns, rows }: Size): Size {
  const within = (value: number, least: number, most: number, usual: number) =>
    Number.isInteger(value) && value > 0 ? Math.min(most, Math.max(least, value)) : usual;
  return {
    columns: within(columns, SMALLEST.columns, LARGEST.columns, USUAL_SIZE.columns),
    rows: within(rows, SMALLEST.rows, LARGEST.rows, USUAL_SIZE.rows),
  };
}

const CODES: Record<Style, string> = {
  plain: "0",
  soft: "0;37",
  strong: "0;1",
  label: "0;36",
  good: "0;32",
  bad: "0;1;31",
  bar: "0;30;46",
  chosen: "0;7",
};

/** A line of one style. */
export function line(text: string, style: Style = "plain"): Line {
  return [{ text, style }];
}

/** What a line says, without how it looks. */
export function textOf(line: Line): string {
  return line.map(({ text }) => text).join("");
}

/** Exactly `rows` lines, none wider than `columns`, and nothing in them that a terminal would obey. */
export function clip(lines: readonly Line[], { columns, rows }: Size): Line[] {
  return Array.from({ length: rows }, (_, i) => clipLine(lines[i] ?? [], columns));
}

function clipLine(line: Line, columns: number): Line {
  let left = columns;
  const spans: Span[] = [];
  for (const { text, style } of line) {
    const part = printable(text).slice(0, left);
    left -= part.length;
    if (part !== "") spans.push({ text: part, style });
  }
  return spans;
}

/** Has a terminal begin anew: no cursor, no wrapping, nothing on it. */
export const BEGIN = "\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J\x1b[H";

/**
 * What makes a terminal show `after` that shows `before`: only lines that differ are written, so that
 * nothing flickers. Both are clipped.
 */
export function paint(before: readonly Line[] | null, after: readonly Line[]): string {
  let output = before === null ? BEGIN : "";
  const known = before?.map(lineCode);
  after.forEach((line, row) => {
    const code = lineCode(line);
    if (known?.[row] === code || known === undefined && code === "") return;
    output += `\x1b[${row + 1};1H${code}\x1b[0m\x1b[K`;
  });
  return output;
}

function lineCode(line: Line): string {
  return line.map(({ text, style }) => `\x1b[${CODES[style]}m${text}`).join("");
}
