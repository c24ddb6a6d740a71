/**
 * Fuzzes one target in a process of its own, which may crash or hang; `main.ts` starts it.
 *
 * @module
 */
import fc from "fast-check";
import type { Task } from "./supervised.ts";
import { TARGETS } from "./targets.ts";

function run({ name, seed, path, seconds, progress }: Task): number {
  const file = Deno.openSync(progress, { write: true, create: true });
  const word = new Uint32Array(1);
  const bytes = new Uint8Array(word.buffer);
  const result = TARGETS[name]({
    seed,
    path,
    milliseconds: seconds * 1000,
    next() {
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(bytes);
      word[0]++;
    },
  });
  file.close();
  if (!result.failed) {
    console.log(`${name}: ${result.numRuns} cases, all well`);
    return 0;
  }
  console.error(fc.defaultReportMessage(result));
  console.error(
    `${name}: FAILED after ${result.numRuns} cases. Again:\n` +
      `  deno task fuzz ${name} --seed ${seed} --path ${result.counterexamplePath}`,
  );
  return 1;
}

Deno.exit(run(JSON.parse(Deno.args[0])));
