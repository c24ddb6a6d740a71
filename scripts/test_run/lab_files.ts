/**
 * Tests in the lab, in emulated PCs of their own: one that breaks off takes no other along.
 *
 * @module
 */
import { runInLab } from "../lab.ts";
import { PcEnded } from "../lab_pc/machine.ts";
import { parseLabOptions } from "../lab_pc/options.ts";
import { CHECKOUT } from "../setup/checkout.ts";
import { type Show, Transcript } from "./stages.ts";
import { countOf, type Outcome } from "./summary.ts";

/** Room for a guest of 8 GiB; what no guest touches costs this machine nothing. */
const LAB_MEMORY_MIB = 12_000;
/** A hung guest must not hold up everything for ever: files take two to eight of these. */
const FILE_MINUTES = 20;

/** The test files in a folder of the checkout, in order. */
export function testFilesIn(folder: string): string[] {
  return [...Deno.readDirSync(`${CHECKOUT}/${folder}`)]
    .filter(({ name }) => name.endsWith("_test.ts"))
    .map(({ name }) => `${folder}/${name}`)
    .sort();
}

/** Runs `deno test` with these arguments in one PC, and counts its tests. */
export async function labTests(args: readonly string[], show: Show): Promise<Outcome> {
  const options = parseLabOptions([
    ...["--memory", String(LAB_MEMORY_MIB)],
    // The VMM as the appliance runs it: from its sources, each start takes several times as long there.
    ...["--", "env", `LAB_VMM=${CHECKOUT}/out/vmm/vmm.js`],
    ...["deno", "test", "-A", "--no-check", ...args],
  ]);
  const transcript = new Transcript();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), FILE_MINUTES * 60_000);
  try {
    const code = await runInLab(options, {
      onOutput: transcript.tee(show.output),
      onErrors: transcript.tee(show.errors),
      stop: stop.signal,
    });
    return { ...countOf(transcript.text, code), output: transcript.text };
  } catch (error) {
    if (!(error instanceof PcEnded)) throw error;
    show.errors(new TextEncoder().encode(`${error.message}\n`));
    const output = `${transcript.text}\n${error.message}`;
    return { passed: 0, failed: 1, output, brokeOff: true };
  } finally {
    clearTimeout(timer);
  }
}
