/**
 * Test files in the lab, each in an emulated PC of its own: one whose PC breaks off takes no other
 * along, and is run once more.
 *
 * @module
 */
import { runInLab } from "../lab.ts";
import { PcEnded } from "../lab_pc/machine.ts";
import { parseLabOptions } from "../lab_pc/options.ts";
import { CHECKOUT, progress } from "../setup/checkout.ts";
import { Transcript } from "./stages.ts";
import { countOf, type Outcome } from "./summary.ts";

/** Room for a guest of 8 GiB; what no guest touches costs this machine nothing. */
const LAB_MEMORY_MIB = 12_000;
/** A hung guest must not hold up everything for ever. */
const FILE_MINUTES = 25;
/**
 * A virtual CPU of a guest went astray, as one of the emulated PC itself does now and then: see
 * tests/README.md. A file that fails with it is run once more, and says so.
 */
const ASTRAY = /The guest crashed: vCPU \d/;
const ATTEMPTS = 2;

/** The test files in a folder of the checkout, in order. */
export function testFilesIn(folder: string): string[] {
  return [...Deno.readDirSync(`${CHECKOUT}/${folder}`)]
    .filter(({ name }) => name.endsWith("_test.ts"))
    .map(({ name }) => `${folder}/${name}`)
    .sort();
}

/** Runs `deno test` with these arguments in one PC, and counts its tests. */
export async function labCount(args: readonly string[]): Promise<Outcome> {
  const options = parseLabOptions([
    ...["--memory", String(LAB_MEMORY_MIB)],
    ...["--", "deno", "test", "-A", "--no-check", ...args],
  ]);
  for (let attempt = 1;; attempt++) {
    const transcript = new Transcript();
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), FILE_MINUTES * 60_000);
    try {
      const code = await runInLab(options, {
        onOutput: transcript.tee(Deno.stdout),
        onErrors: transcript.tee(Deno.stderr),
        stop: stop.signal,
      });
      const output = transcript.text;
      const count = countOf(output, code);
      const crash = ASTRAY.exec(output)?.[0];
      if (count.failed === 0 || !crash || attempt === ATTEMPTS) return { ...count, output };
      progress(`${args.join(" ")} is run once more: ${crash}`);
    } catch (error) {
      // What hung would most likely hang again.
      if (!(error instanceof PcEnded)) throw error;
      if (stop.signal.aborted || attempt === ATTEMPTS) {
        progress(error.message);
        return { passed: 0, failed: 1, output: `${transcript.text}\n${error.message}` };
      }
      progress(`${args.join(" ")} is run once more: ${error.message}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
