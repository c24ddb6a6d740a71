/**
 * The file of results, and the table that it is shown as: in the terminal, and in the README.
 *
 * @module
 */
import { median } from "./median.ts";
import { figure } from "./recorder.ts";
import { BENCHES, type BenchName, type Contender, holds, ratio, type Row } from "./rows.ts";

/** One benchmark's rows and where they come from. */
export interface BenchResult {
  rows: Row[];
  failures: string[];
  /** ISO 8601. */
  measuredAt: string;
  commit: string;
  machine: string;
  rounds: number;
}

/** The file: each benchmark as it was measured last, so that they need not all run at once. */
export type Results = Partial<Record<BenchName, BenchResult>>;

const CONTENDERS = ["denovisor", "microvm", "q35", "c"] as const;

const HEADINGS = ["ratio", "", "what", "unit", "denovisor", "QEMU microvm", "QEMU q35", "C"];

const LEGEND =
  "Medians. The ratio is to the better of the two QEMUs: 1 is equal, more is better, " +
  "2 is twice as good, whether low or high figures are good. No peer: QEMU has nothing of the kind.";

/** Reads the file's text; a file of another shape is none. */
export function parseResults(text: string): Results {
  const value = JSON.parse(text);
  return Object.fromEntries(
    Object.entries(value).filter(([name, it]) =>
      BENCHES.includes(name as BenchName) && Array.isArray((it as BenchResult)?.rows)
    ),
  );
}

/** The results' file with what follows from the figures beside them, for other programs. */
export function formatResults(results: Results): string {
  const out: Record<string, unknown> = {};
  for (const name of BENCHES) {
    const result = results[name];
    if (!result) continue;
    const rows = result.rows.map((row) => ({
      ...row,
      medians: Object.fromEntries(
        CONTENDERS.flatMap((it) => row.runs[it]?.length ? [[it, median(row.runs[it])]] : []),
      ),
      ratio: ratio(row),
      holds: holds(row),
    }));
    out[name] = { ...result, rows };
  }
  return JSON.stringify(out, null, 2) + "\n";
}

function cells(row: Row): string[] {
  const it = ratio(row);
  const value = (contender: Contender) => {
    const runs = row.runs[contender];
    return runs?.length ? figure(median(runs)) : "";
  };
  return [
    it === undefined ? "" : it.toFixed(2),
    row.noPeer ? "no peer" : { true: "holds", false: "short", undefined: "" }[`${holds(row)}`],
    row.name,
    row.unit,
    ...CONTENDERS.map(value),
  ];
}

/** The table for a terminal. */
export function terminalTable(results: Results): string {
  const rows = BENCHES.flatMap((name) => results[name]?.rows ?? []).map(cells);
  const all = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...all.map((it) => it[column].length)));
  const lines = all.map((row) =>
    row.map((text, column) =>
      column === 0 || column > 3 ? text.padStart(widths[column]) : text.padEnd(widths[column])
    ).join("  ").trimEnd()
  );
  return `${LEGEND}\n${lines.join("\n")}`;
}

/** The table in Markdown, with the machine and the command that measured. */
export function markdownTable(results: Results, command = "./scripts/bench"): string {
  const measured = BENCHES.flatMap((name) => results[name] ? [results[name]] : []);
  const machines = [...new Set(measured.map((it) => it.machine))];
  const days = [...new Set(measured.map((it) => it.measuredAt.slice(0, 10)))].sort();
  const rounds = Math.min(...measured.map((it) => it.rounds));
  const line = (row: string[]) => `| ${row.join(" | ")} |`;
  return [
    `Measured on ${days.join(", ")} by \`${command}\` on: ${machines.join("; ")}. ${LEGEND} ` +
    `At least ${rounds} runs of each, one contender after the other, in one boot.`,
    "",
    line(HEADINGS),
    line(HEADINGS.map((_, column) => column === 0 || column > 3 ? "--:" : "---")),
    ...measured.flatMap(({ rows }) => rows).map((row) => line(cells(row))),
  ].join("\n");
}

const BEGIN = "<!-- bench: made by ./scripts/bench --readme -->";
const BEGIN_NATIVE = "<!-- bench, native: made by ./scripts/bench --readme -->";
const END = "<!-- /bench -->";

/** A page with the table in the place that is marked for it; there is another for what was measured natively. */
export function withTable(page: string, table: string, where?: "native"): string {
  const begin = where === "native" ? BEGIN_NATIVE : BEGIN;
  const from = page.indexOf(begin);
  const to = page.indexOf(END, Math.max(0, from));
  if (from < 0 || to < from) {
    throw new Error(`Cannot put the table in its place: the page has not "${begin}" and "${END}"`);
  }
  return `${page.slice(0, from)}${begin}\n\n${table}\n\n${page.slice(to)}`;
}
