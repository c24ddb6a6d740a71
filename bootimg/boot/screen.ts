/**
 * What the host tells of itself on its serial port: who it is, where its console is, and what is wrong.
 *
 * @module
 */
import { wrap } from "../screen/text.ts";
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

/** Writes on a serial port, as on paper, when what there is to show has changed. */
export class SerialScreen {
  readonly #output: Deno.FsFile | null;
  #drawn = "";
  #drawing: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    try {
      this.#output = Deno.openSync(path, { write: true });
    } catch {
      // A machine without it.
      this.#output = null;
    }
  }

  draw(state: ScreenState): void {
    const output = this.#output;
    const text = renderScreen(state).join("\n");
    if (text === this.#drawn || output === null) return;
    this.#drawn = text;
    // One drawing after the other; a terminal that blocks must not hold up PID 1.
    this.#drawing = this.#drawing.then(() =>
      attempt("Cannot draw the screen", () => writeAll(output, `\n${text}\n`))
    );
  }

  /** When all that was drawn is written. */
  get settled(): Promise<unknown> {
    return this.#drawing;
  }
}

async function writeAll(file: Deno.FsFile, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(await file.write(bytes));
}

function groups(text: string, size: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += size) parts.push(text.slice(at, at + size));
  return parts;
}
