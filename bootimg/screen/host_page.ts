/**
 * The page that the host's screen shows while nobody uses its menu: who it is, where its console is,
 * how it does, and what is wrong.
 *
 * @module
 */
import type { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import type { ScreenState } from "../boot/screen.ts";
import { consoleUrl } from "../boot/screen.ts";
import { type Line, line, type Size, type Span, type Style } from "./canvas.ts";
import { fit, pad, size, span, wrap } from "./text.ts";

/** What the page shows. */
export interface HostState extends ScreenState {
  hostname: string;
  uptimeSeconds: number;
  /** Of the last 1, 5 and 15 minutes. */
  load: readonly number[];
  cpus: number;
  memoryMiB: number;
  memoryFreeMiB: number;
  /** What the supervisor tells; null where it tells nothing. */
  health: Health | null;
  /** What the last line says can be done; null where nothing can. */
  hint: string | null;
}

const LABEL_WIDTH = 14;
/** The least that should be free, of memory and of the disk. */
const LEAST_FREE = 0.05;
/** An empty one, and two of text. */
const LEAST_TROUBLE_LINES = 3;
/** Problems say more than this on a page that has no room for them. */
const MOST_PROBLEM_LINES = 3;

/** The page's lines for a terminal of that size. */
export function hostPage(state: HostState, { columns, rows }: Size): Line[] {
  const top = [titleBar(state, columns), []];
  const bottom = state.hint === null ? [] : [[], bar(` ${state.hint}`, columns)];
  const reach = reachLines(state, columns);
  const troubles = troubleLines(state, columns);
  const figures = figureLines(state, columns);
  const room = Math.max(0, rows - top.length - bottom.length);
  // Troubles are why somebody looks: however little room there is, some of it is theirs.
  const left = Math.max(0, room - reach.length - figures.length);
  const forTroubles = Math.min(troubles.length, Math.max(LEAST_TROUBLE_LINES, left));
  const guests = guestLines(state.health, columns, left - forTroubles);
  const shown = [...reach, ...figures].slice(0, room - forTroubles);
  shown.push(...guests, ...troubles.slice(0, forTroubles));
  while (shown.length < room) shown.push([]);
  return [...top, ...shown, ...bottom].slice(0, rows);
}

/** A line that goes from side to side. */
export function bar(text: string, columns: number, right = ""): Line {
  const left = pad(text, columns - right.length);
  return line(left + right, "bar");
}

function titleBar({ version, hostname, uptimeSeconds }: HostState, columns: number): Line {
  const right = fit(`up ${span(uptimeSeconds)} `, Math.floor(columns / 2));
  return bar(` ${hostname} - Denovisor ${version} `, columns, right);
}

function labelled(label: string, texts: readonly string[], style: Style = "plain"): Line[] {
  return texts.map((text, i): Line => [
    { text: ` ${(i === 0 ? label : "").padEnd(LABEL_WIDTH)}`, style: "label" },
    { text, style },
  ]);
}

function reachLines(state: HostState, columns: number): Line[] {
  const width = columns - LABEL_WIDTH - 2;
  const lines: Line[] = [];
  if (state.stage !== null) lines.push(...labelled("Status", wrap(state.stage, width), "strong"));
  const { addresses, fingerprint, setupCode } = state;
  if (addresses.length === 0) {
    const words = "no network address yet: plug in a cable to a network with DHCP";
    lines.push(...labelled("Console", wrap(words, width)));
  } else {
    lines.push(...labelled("Console", [fit(consoleUrl(addresses[0]), width)], "strong"));
    // Routers may announce many.
    lines.push(...labelled("Addresses", wrap(addresses.join(", "), width).slice(0, 2)));
  }
  if (fingerprint !== null) {
    // "AB:" for each byte, and lines of the same length where there are two.
    const bytes = width >= fingerprint.length ? 32 : Math.min(16, Math.floor((width + 1) / 3));
    const parts = fingerprint.match(new RegExp(`.{1,${3 * bytes}}`, "gsu")) ?? [];
    const words = fit("SHA-256, as your browser shows it:", width);
    lines.push(...labelled("Certificate", [words, ...parts.map((it) => it.replace(/:$/, ""))]));
  }
  if (setupCode !== null) {
    lines.push([]);
    lines.push(...labelled("Set-up code", [fit(setupCode, width)], "strong"));
    const words = "Open the console and enter this code to choose its password.";
    lines.push(...labelled("", wrap(words, width)));
  }
  return lines;
}

function figureLines(state: HostState, columns: number): Line[] {
  const { load, cpus, memoryMiB, memoryFreeMiB, health } = state;
  const width = columns - LABEL_WIDTH - 2;
  const loads = load.map((it) => it.toFixed(2)).join("  ");
  const lines: Line[] = [
    [],
    ...labelled("Load", [fit(`${loads}  on ${cpus} CPU${cpus === 1 ? "" : "s"}`, width)]),
    ...gauge("Memory", { total: memoryMiB, free: memoryFreeMiB, width }),
  ];
  if (health !== null) {
    const { diskMiB, diskFreeMiB } = health;
    lines.push(...gauge("Storage", { total: diskMiB, free: diskFreeMiB, width }));
  }
  return lines;
}

function gauge(
  label: string,
  { total, free, width }: { total: number; free: number; width: number },
): Line[] {
  if (total <= 0) return [];
  const part = Math.min(1, Math.max(0, (total - free) / total));
  const cells = Math.min(24, Math.max(0, width - 34));
  const full = Math.round(part * cells);
  const drawn = cells < 6 ? "" : `[${"#".repeat(full)}${".".repeat(cells - full)}] `;
  const [first, ...rest] = labelled(label, [drawn], isLow(free, total) ? "bad" : "good");
  const words: Span = {
    text: fit(`${size(total - free)} of ${size(total)} used`, width - drawn.length),
    style: "plain",
  };
  return [[...first, words], ...rest];
}

function isLow(free: number, total: number): boolean {
  return total > 0 && free / total < LEAST_FREE;
}

const STATE_STYLES: Record<string, Style> = {
  running: "good",
  failed: "bad",
  starting: "strong",
  stopping: "strong",
  stopped: "soft",
};

/** How many guests there are, and as many of them by name as there is room for. */
function guestLines(health: Health | null, columns: number, room: number): Line[] {
  if (health === null || room < 2) return [];
  const counts = Object.entries(health.guests);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const words = total === 0
    ? "none"
    : counts.map(([state, count]) => `${count} ${state}`).join(", ");
  const width = columns - LABEL_WIDTH - 2;
  const lines: Line[] = [[], ...labelled("Guests", [fit(words, width)])];
  const rows = room - lines.length - 1;
  if (rows < 1) return lines.slice(0, room);
  const cell = 30;
  const perRow = Math.max(1, Math.floor(width / cell));
  const shown = health.shown.slice(0, rows * perRow);
  for (let at = 0; at < shown.length; at += perRow) {
    const spans = shown.slice(at, at + perRow).flatMap(({ name, state }): Span[] => [
      { text: `${pad(name, 18)} `, style: "plain" },
      { text: pad(state, 10), style: STATE_STYLES[state] ?? "plain" },
      { text: " ", style: "plain" },
    ]);
    lines.push([{ text: " ".repeat(LABEL_WIDTH + 1), style: "plain" }, ...spans]);
  }
  if (shown.length < total) lines.push(...labelled("", [`and ${total - shown.length} more`]));
  return lines;
}

/** What figures say is wrong, beside what process 1 knows. */
export function alarms({ memoryMiB, memoryFreeMiB, health, stage }: HostState): string[] {
  const found: string[] = [];
  if (isLow(memoryFreeMiB, memoryMiB)) found.push(`Only ${size(memoryFreeMiB)} of memory are free`);
  if (health === null) {
    if (stage === null) found.push("The supervisor does not answer; guests run on without it");
    return found;
  }
  if (isLow(health.diskFreeMiB, health.diskMiB)) {
    found.push(`Only ${size(health.diskFreeMiB)} of storage are free`);
  }
  const failed = health.shown.filter(({ state }) => state === "failed").map(({ name }) => name);
  const count = health.guests.failed ?? failed.length;
  if (count === 1) found.push(`The guest ${failed[0] ?? ""} has failed`);
  if (count > 1) found.push(`${count} guests have failed: ${failed.slice(0, 4).join(", ")}`);
  return found;
}

function troubleLines(state: HostState, columns: number): Line[] {
  const width = columns - LABEL_WIDTH - 2;
  const lines = [
    ...state.problems.flatMap((it) =>
      labelled("Problem", wrap(it, width).slice(0, MOST_PROBLEM_LINES), "bad")
    ),
    ...alarms(state).flatMap((it) => labelled("Alarm", wrap(it, width).slice(0, 2), "bad")),
  ];
  return lines.length === 0 ? [] : [[], ...lines];
}
