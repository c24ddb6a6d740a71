/**
 * A guest that is measured: the monitor's process, and the guest's serial port on its standard input
 * and output.
 *
 * @module
 */
import { MARKER } from "../lab_pc/marker_initrd.ts";
import { TINY_MARKER } from "./guest_files.ts";

/** What shows that a guest runs. */
export const REACHED = {
  /** Its user space, with the seconds that its kernel took by its own clock. */
  userSpace: new RegExp(`${MARKER} after ([0-9.]+) s`),
  /** Its first instructions. */
  instructions: new RegExp(TINY_MARKER),
} as const;

/** Under nested emulation on a busy machine a boot can take as long. */
const START_PATIENCE_MS = 240_000;
const COMMAND_PATIENCE_MS = 120_000;
const LAST_WORDS = 1000;

/** How to start one. */
export interface GuestStart {
  command: readonly string[];
  until: RegExp;
  /** The folder of the control group that it runs in, from its very beginning. */
  cgroup?: string;
}

/** A guest that has reached what it was started for. */
export class BenchGuest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ended: Promise<unknown>;
  #text = "";
  #errors = "";
  #over = false;
  #more = Promise.withResolvers<void>();
  #commands = 0;
  /** From the process's start to when the guest said that it is there. */
  seconds = NaN;
  /** What of it passed in the guest's kernel, by its own clock. */
  kernelSeconds = NaN;

  private constructor(start: GuestStart) {
    // The shell is the monitor's own process in the end, by exec.
    const [program, ...args] = start.cgroup
      ? ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', start.cgroup, ...start.command]
      : start.command;
    this.#child = new Deno.Command(program, {
      args,
      env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#ended = Promise.all([
      this.#collect(this.#child.stdout, (text) => this.#text += text),
      this.#collect(
        this.#child.stderr,
        (text) => this.#errors = (this.#errors + text).slice(-LAST_WORDS),
      ),
    ]).then(() => {
      this.#over = true;
      this.#wake();
    });
  }

  /** Starts the monitor and waits for the guest; throws, with nothing left, if it does not come. */
  static async start(start: GuestStart): Promise<BenchGuest> {
    const began = performance.now();
    const guest = new BenchGuest(start);
    try {
      const [, kernel] = await guest.#expect(start.until, START_PATIENCE_MS);
      guest.seconds = (performance.now() - began) / 1000;
      guest.kernelSeconds = Number(kernel);
      return guest;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Runs a line in the guest's shell and returns what it printed; throws if it fails. */
  async run(line: string): Promise<string> {
    const number = ++this.#commands;
    const text = `{ ${line}\n} 2>&1; echo "@@end ${number} $?"\n`;
    await this.#writer.write(new TextEncoder().encode(text));
    const end = new RegExp(`([^]*?)@@end ${number} (\\d+)`);
    const [, printed, code] = await this.#expect(end, COMMAND_PATIENCE_MS);
    if (code !== "0") {
      throw new Error(
        `Cannot measure with "${line}": it failed with ${code} in the guest\n${
          printed.slice(-LAST_WORDS)
        }`,
      );
    }
    return printed.trim();
  }

  async #collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      add(decoder.decode(bytes, { stream: true }));
      this.#wake();
    }
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** What matched, once it has; all up to its end is then forgotten. */
  async #expect(pattern: RegExp, patience: number): Promise<RegExpExecArray> {
    const late = Promise.withResolvers<"late">();
    const timer = setTimeout(() => late.resolve("late"), patience);
    try {
      for (;;) {
        const match = pattern.exec(this.#text);
        if (match) {
          this.#text = this.#text.slice(match.index + match[0].length);
          return match;
        }
        const why = this.#over
          ? "its monitor has ended"
          : await Promise.race([this.#more.promise, late.promise]) === "late"
          ? `nothing came in ${patience / 1000} s`
          : undefined;
        if (why === undefined) continue;
        throw new Error(
          `Cannot measure the guest: it did not say ${pattern}, ${why}\n${
            this.#text.slice(-LAST_WORDS)
          }\n${this.#errors}`.trim(),
        );
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.#writer.close().catch(() => {});
    await this.#ended;
    await this.#child.status;
  }
}
