/**
 * A guest that a test talks to: the VMM's process, its serial port on pipes.
 *
 * @module
 */
import { GUEST_LOGIN } from "../../scripts/setup/guests.ts";
import { CHECKOUT } from "../../scripts/setup/checkout.ts";

/** Nested emulation is slow, and slower still when the machine is busy. */
const PATIENCE_MS = 360_000;

/** The VMM as the appliance runs it. */
export const VMM = `${CHECKOUT}/out/vmm/vmm.js`;

export class RunningGuest {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #encoder = new TextEncoder();
  /** Everything that the guest wrote. */
  output = "";
  /** Everything that the VMM itself said. */
  errors = "";
  #searched = 0;
  #isOver = false;
  #more = Promise.withResolvers<void>();
  readonly #done: Promise<unknown>;

  constructor(args: readonly string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-config", "--no-lock", "--no-check", VMM, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#done = Promise.all([
      this.#collect(this.#child.stdout, (text) => this.output += text),
      this.#collect(this.#child.stderr, (text) => this.errors += text),
    ]).then(() => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** Starts a guest and logs in at its prompt. */
  static async booted(args: readonly string[]): Promise<RunningGuest> {
    const guest = new RunningGuest(args);
    try {
      await guest.logIn();
      return guest;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      add(decoder.decode(bytes, { stream: true }));
      this.#wake();
    }
    this.#wake();
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** Returns what matched, once the guest has written it after the last match. */
  async expect(pattern: RegExp): Promise<RegExpExecArray> {
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const match = pattern.exec(this.output.slice(this.#searched));
      if (match !== null) {
        this.#searched += match.index + match[0].length;
        return match;
      }
      const left = until - Date.now();
      if (left <= 0 || this.#isOver) {
        const why = this.#isOver ? "before its VMM ended" : `within ${PATIENCE_MS / 1000} s`;
        throw new Error(
          `The guest did not write ${pattern} ${why}. Its last words:\n` +
            `${this.output.slice(-2000)}\nThe VMM's:\n${this.errors.slice(-1000)}`,
        );
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      const timeout = new Promise((resolve) => timer = setTimeout(resolve, Math.min(left, 1000)));
      await Promise.race([this.#more.promise, timeout]);
      clearTimeout(timer);
    }
  }

  async type(text: string): Promise<void> {
    await this.#writer.write(this.#encoder.encode(text));
  }

  /** Logs in at the prompt, whenever that comes. */
  async logIn(): Promise<void> {
    await this.expect(/login: /);
    await this.type(`${GUEST_LOGIN.user}\n`);
    await this.expect(/assword: /);
    await this.type(`${GUEST_LOGIN.password}\n`);
    await this.expect(/[#$] $/);
  }

  /** Runs a command at the guest's prompt; what it printed. */
  async run(command: string): Promise<string> {
    // The marks are put together by the shell, so that the echo of what is typed does not match.
    await this.type(`echo BEG''IN; ${command}; echo EN''D:$?\n`);
    const [, printed, status] = await this.expect(/BEGIN\r?\n([^]*?)END:(\d+)/);
    if (status !== "0") {
      throw new Error(`"${command}" failed with ${status} in the guest: ${printed}`);
    }
    return printed.replaceAll("\r", "").trim();
  }

  signal(name: Deno.Signal): void {
    this.#child.kill(name);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The VMM's exit code, once it has ended. */
  async ended(): Promise<number> {
    const status = await this.#child.status;
    await this.#done;
    return status.code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#writer.close().catch(() => {});
    await this.ended();
  }
}
