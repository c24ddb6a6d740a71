/**
 * The host's own screen: who it is, where its console is, and what is wrong, on the display and on
 * the serial port.
 *
 * @module
 */
import { attempt } from "./log.ts";

export interface ScreenState {
  version: string;
  /** What is going on while it starts or stops; null while it runs. */
  stage: string | null;
  /** The host's own addresses, best first. */
  addresses: string[];
  /** SHA-256 of the console's certificate; null until it exists. */
  fingerprint: string | null;
  /** Null once the password is set, or before the supervisor has made one. */
  setupCode: string | null;
  /** What does not work, for a person. */
  problems: string[];
}

const WIDTH = 76;
const LABEL_WIDTH = 14;

/** The screen's lines, without colours. */
export function renderScreen(state: ScreenState): string[] {
  const lines = [`Denovisor ${state.version}`, ""];
  const add = (label: string, value: string) => {
    wrap(value, WIDTH - LABEL_WIDTH).forEach((part, i) =>
      lines.push((i === 0 ? label : "").padEnd(LABEL_WIDTH) + part)
    );
  };
  if (state.stage !== null) add("Status", state.stage);
  if (state.addresses.length === 0) {
    add("Console", "no network address yet: plug in a cable to a network with DHCP");
  } else {
    add("Console", consoleUrl(state.addresses[0]));
    add("Addresses", state.addresses.join(", "));
  }
  if (state.fingerprint !== null) {
    add("Certificate", "SHA-256, as your browser shows it:");
    groups(state.fingerprint, 16 * 3).forEach((part) => add("", part.replace(/:$/, "")));
  }
  if (state.setupCode !== null) {
    lines.push("");
    add("Set-up code", state.setupCode);
    add("", "Open the console and enter this code to choose its password.");
  }
  if (state.problems.length > 0) lines.push("");
  state.problems.forEach((problem) => add("Problem", problem));
  return lines;
}

/** The address as the browser takes it. */
export function consoleUrl(address: string): string {
  return `https://${address.includes(":") ? `[${address}]` : address}/`;
}

/** IPv6 addresses that lead nowhere from another network. */
const LINK_OR_SITE_LOCAL = /^fe[89a-f]/i;

/** Addresses worth showing, the likeliest to work first. */
export function rankAddresses(
  interfaces: readonly { name: string; address: string; family: "IPv4" | "IPv6" }[],
  bridges: readonly string[],
): string[] {
  const rank = (family: string, address: string) =>
    family === "IPv4" ? (address.startsWith("169.254.") ? 2 : 0) : 1;
  return interfaces
    .filter((it) => bridges.includes(it.name) && !LINK_OR_SITE_LOCAL.test(it.address))
    .map((it) => ({ address: it.address, rank: rank(it.family, it.address) }))
    .sort((a, b) => a.rank - b.rank)
    .map((it) => it.address);
}

/** Draws on the terminals that exist, when what there is to show has changed. */
export class Screen {
  readonly #outputs: { file: Deno.FsFile; isDisplay: boolean }[] = [];
  #drawn = "";
  #drawing: Promise<unknown> = Promise.resolve();

  /** `display` is cleared at each drawing, `serial` is written on as on paper. */
  constructor(display: string, serial: string) {
    for (const [path, isDisplay] of [[display, true], [serial, false]] as const) {
      try {
        this.#outputs.push({ file: Deno.openSync(path, { write: true }), isDisplay });
      } catch {
        // A machine without it.
      }
    }
  }

  draw(state: ScreenState): void {
    const lines = renderScreen(state);
    const text = lines.join("\n");
    if (text === this.#drawn) return;
    this.#drawn = text;
    // One drawing after the other; a terminal that blocks must not hold up PID 1.
    this.#drawing = this.#drawing.then(() =>
      Promise.all(
        this.#outputs.map(({ file, isDisplay }) =>
          attempt("Cannot draw the screen", () =>
            writeAll(file, isDisplay ? paint(lines) : plain(text)))
        ),
      )
    );
  }

  /** When all that was drawn is on the terminals. */
  get settled(): Promise<unknown> {
    return this.#drawing;
  }
}

function plain(text: string): string {
  return `\n${text}\n`;
}

/** For the Linux console: cursor off, clear, name in bold. */
function paint([title, ...lines]: string[]): string {
  const body = lines.map((line) => {
    const label = line.slice(0, LABEL_WIDTH);
    const colour = label.startsWith("Problem") ? "31" : label.startsWith("Set-up") ? "1" : "0";
    return `  \x1b[36m${label}\x1b[0;${colour}m${line.slice(LABEL_WIDTH)}\x1b[0m`;
  });
  return `\x1b[?25l\x1b[2J\x1b[H\n  \x1b[1;36m${title}\x1b[0m\n${body.join("\n")}\n`;
}

async function writeAll(file: Deno.FsFile, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.replace(/\p{Cc}/gu, " ").split(/ +/)) {
    for (const part of groups(word, width)) {
      const line = lines[lines.length - 1];
      if (line === "") lines[lines.length - 1] = part;
      else if (line.length + 1 + part.length <= width) lines[lines.length - 1] += ` ${part}`;
      else lines.push(part);
    }
  }
  return lines;
}

function groups(text: string, size: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += size) parts.push(text.slice(at, at + size));
  return parts;
}
