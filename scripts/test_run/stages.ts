/**
 * The stages of a test run: each tells its name, runs, and tells its count and how long it took.
 *
 * @module
 */
import { CHECKOUT } from "../setup/checkout.ts";
import { type Count, countOf } from "./summary.ts";

/** Counts all stages of a run. */
export class TestRun {
  readonly total: Count = { passed: 0, failed: 0 };

  /** Runs one stage; whatever it throws counts as one failure. */
  async stage(name: string, body: () => Promise<Count>): Promise<void> {
    console.log(`\n== ${name}`);
    const began = performance.now();
    let count: Count;
    try {
      count = await body();
    } catch (error) {
      console.error((error as Error).message);
      count = { passed: 0, failed: 1 };
    }
    this.total.passed += count.passed;
    this.total.failed += count.failed;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const verdict = count.failed === 0 ? "ok" : "FAILED";
    console.log(
      `== ${name}: ${verdict}, ${count.passed} passed and ${count.failed} failed in ${seconds} s`,
    );
  }
}

/** Runs a program whose exit code is the verdict, as one test. */
export async function oneTest(command: readonly string[]): Promise<Count> {
  const { code } = await shown(command);
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Runs `deno test` and counts its tests. */
export async function denoTests(args: readonly string[]): Promise<Count> {
  const { code, output } = await shown(["deno", "test", "-A", "--no-check", ...args]);
  return countOf(output, code);
}

/** Collects what is passed to it, for the count at its end, while it is shown. */
export function tee(to: { writeSync(bytes: Uint8Array): number }): {
  write(bytes: Uint8Array): void;
  text(): string;
} {
  const decoder = new TextDecoder();
  let text = "";
  return {
    write(bytes) {
      text += decoder.decode(bytes, { stream: true });
      for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
    },
    text: () => text,
  };
}

async function shown(command: readonly string[]): Promise<{ code: number; output: string }> {
  const [program, ...args] = command;
  const child = new Deno.Command(program === "deno" ? Deno.execPath() : program, {
    args,
    cwd: CHECKOUT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = tee(Deno.stdout);
  for await (const chunk of child.stdout) output.write(chunk);
  return { code: (await child.status).code, output: output.text() };
}
