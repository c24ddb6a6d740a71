/**
 * The stages of a test run: each tells its name, runs, and tells its count and how long it took.
 *
 * @module
 */
import { CHECKOUT, progress } from "../setup/checkout.ts";
import { type Count, countOf, excerptOf, type Outcome } from "./summary.ts";

/** Where a stage's output goes. */
export interface Show {
  output(bytes: Uint8Array): void;
  errors(bytes: Uint8Array): void;
}

/** One stage: what it is called, and what it does. */
export interface Stage {
  name: string;
  body(show: Show): Promise<Outcome>;
}

const AT_ONCE: Show = {
  output: (bytes) => writeFully(Deno.stdout, bytes),
  errors: (bytes) => writeFully(Deno.stderr, bytes),
};

/** What the report shows of what was run once more, in characters: less than of what failed. */
const AGAIN_EXCERPT = 800;

/** Counts all stages of a run, and keeps what went wrong for the end. */
export class TestRun {
  readonly total: Count = { passed: 0, failed: 0 };
  readonly #failures: string[] = [];
  readonly #failed: string[] = [];
  readonly #again: string[] = [];

  /** Runs one stage; whatever it throws counts as one failure. */
  async stage(name: string, body: Stage["body"]): Promise<void> {
    console.log(`\n== ${name}`);
    await this.#count({ name, body }, AT_ONCE);
  }

  /**
   * A stage that is run once more where it fails, and says so: for tests over an emulator or a
   * browser, whose own faults come and go (tests/README.md). What fails twice has failed, but where
   * the emulated PC itself has ended it gets a third try.
   */
  async stageOrAgain(name: string, body: Stage["body"]): Promise<void> {
    await this.stage(name, this.#orAgain({ name, body }));
  }

  /** Such stages, several at a time, each shown when it is over. */
  async together(stages: readonly Stage[], lanes: number): Promise<void> {
    const left = [...stages];
    const lane = async () => {
      for (let stage = left.shift(); stage; stage = left.shift()) {
        progress(`${stage.name} has begun`);
        const pieces: [keyof Show, Uint8Array][] = [];
        await this.#count({ name: stage.name, body: this.#orAgain(stage) }, {
          output: (bytes) => void pieces.push(["output", bytes.slice()]),
          errors: (bytes) => void pieces.push(["errors", bytes.slice()]),
        }, () => {
          console.log(`\n== ${stage.name}`);
          for (const [stream, bytes] of pieces) AT_ONCE[stream](bytes);
        });
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  #orAgain({ name, body }: Stage): Stage["body"] {
    return async (show) => {
      let outcome = await body(show);
      // A PC that ended has told nothing of what it was to test.
      for (let left = outcome.brokeOff ? 2 : 1; outcome.failed > 0 && left > 0; left--) {
        progress(`${name} is run once more`);
        this.#again.push(
          `== ${name}: was run once more, for\n${excerptOf(outcome.output, AGAIN_EXCERPT)}`,
        );
        outcome = await body(show);
      }
      return outcome;
    };
  }

  async #count({ name, body }: Stage, show: Show, over = () => {}): Promise<void> {
    const began = performance.now();
    let outcome: Outcome;
    try {
      outcome = await body(show);
    } catch (error) {
      const { message } = error as Error;
      show.errors(new TextEncoder().encode(`${message}\n`));
      outcome = { passed: 0, failed: 1, output: message };
    }
    this.total.passed += outcome.passed;
    this.total.failed += outcome.failed;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const verdict = outcome.failed === 0 ? "ok" : "FAILED";
    over();
    console.log(
      `== ${name}: ${verdict}, ${outcome.passed} passed and ${outcome.failed} failed in ${seconds} s`,
    );
    if (outcome.failed > 0) {
      this.#failed.push(name);
      this.#failures.push(`== ${name}: FAILED\n${excerptOf(outcome.output)}`);
    }
  }

  /** What went wrong, stage by stage, what failed in the end, and the count: the last that a run prints. */
  report(): string {
    const { passed, failed } = this.total;
    const names = this.#failed.map((name) => `FAILED: ${name}`);
    return [
      ...this.#again,
      ...this.#failures,
      [...names, `${passed} passed, ${failed} failed`].join("\n"),
    ].join("\n\n");
  }
}

/** Runs a program whose exit code is the verdict, as one test. */
export async function oneTest(command: readonly string[]): Promise<Outcome> {
  const { code, output } = await shown(command);
  return code === 0 ? { passed: 1, failed: 0, output } : { passed: 0, failed: 1, output };
}

/** Runs `deno test` and counts its tests. */
export async function denoTests(args: readonly string[], show = AT_ONCE): Promise<Outcome> {
  const { code, output } = await shown(["deno", "test", "-A", "--no-check", ...args], show);
  return { ...countOf(output, code), output };
}

/** Collects what is passed on by several streams, in the order in which it came. */
export class Transcript {
  text = "";

  /** A stream's writer: passes bytes on, and keeps them. */
  tee(to: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void {
    const decoder = new TextDecoder();
    return (bytes) => {
      this.text += decoder.decode(bytes, { stream: true });
      to(bytes);
    };
  }
}

function writeFully(to: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
}

/** A test that hangs must not hold up everything for ever: stages take a quarter of this. */
const STAGE_MINUTES = 20;
/** What coreutils' `timeout` ends with where it has ended a program and all that this has started ... */
const TIMED_OUT = 124;
/** ... and where it had to kill them, or somebody else has killed the program. */
const KILLED = 137;

/** Whether it was for the time that it took that a program ended. */
export function wasTooLong(code: number, seconds: number): boolean {
  return code === TIMED_OUT || code === KILLED && seconds >= STAGE_MINUTES * 60;
}

async function shown(
  command: readonly string[],
  show = AT_ONCE,
): Promise<{ code: number; output: string }> {
  const [program, ...args] = command;
  const path = program === "deno" ? Deno.execPath() : program;
  const child = new Deno.Command("timeout", {
    args: ["--kill-after=10", `${STAGE_MINUTES}m`, path, ...args],
    cwd: CHECKOUT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const began = performance.now();
  using signalled = endOnSignal(child);
  const transcript = new Transcript();
  const pass = async (from: ReadableStream<Uint8Array>, to: Show[keyof Show]) => {
    const write = transcript.tee(to);
    for await (const chunk of from) write(chunk);
  };
  await Promise.all([pass(child.stdout, show.output), pass(child.stderr, show.errors)]);
  const { code } = await child.status;
  await signalled.exit;
  if (wasTooLong(code, (performance.now() - began) / 1000)) {
    const said = `\nerror: Cannot wait any longer: it was ended after ${STAGE_MINUTES} minutes\n`;
    transcript.tee(show.errors)(new TextEncoder().encode(said));
  }
  return { code, output: transcript.text };
}

/**
 * Has a signal end a stage and then this process: `exit` is there from the signal on, and never fulfilled.
 * `timeout` makes the stage a process group of its own, which a terminal's Ctrl-C does not reach, and passes on
 * what it gets to all of that.
 */
function endOnSignal(child: Deno.ChildProcess): Disposable & { exit?: Promise<never> } {
  const signalled: Disposable & { exit?: Promise<never> } = {
    [Symbol.dispose]: () => listeners.forEach((remove) => remove()),
  };
  const ended = child.status;
  let isOver = false;
  ended.then(() => isOver = true);
  const listeners = Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }).map(
    ([name, code]) => {
      const signal = name as Deno.Signal;
      const listener = () => {
        if (!isOver) child.kill(signal);
        signalled.exit ??= ended.then(() => Deno.exit(code));
      };
      Deno.addSignalListener(signal, listener);
      return () => Deno.removeSignalListener(signal, listener);
    },
  );
  return signalled;
}
