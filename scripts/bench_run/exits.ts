/**
 * What an exit costs: the guest of exit_loop.ts handled by our bus and a device, and the same in C.
 *
 * @module
 */
import { CHECKOUT } from "../setup/checkout.ts";
import { run } from "../setup/command.ts";
import type { BenchJob } from "./job.ts";
import type { Recorder } from "./recorder.ts";

const EXITS = 20_000;

export async function exits(job: BenchJob, recorder: Recorder): Promise<void> {
  const folder = `${CHECKOUT}/scripts/bench_run`;
  const c = await Deno.makeTempFile({ prefix: "exit-loop-" });
  await run(["gcc", "-O2", "-o", c, `${folder}/exit_loop.c`]);
  const deno = [Deno.execPath(), "run", "-A", "--no-check", `${folder}/exit_loop.ts`];
  const commands = { denovisor: [...deno, `${EXITS}`], c: [c, `${EXITS}`] } as const;
  const row = { name: "exits: one to the device model and back", unit: "us" } as const;
  for (let round = 1; round <= job.rounds; round++) {
    for (const contender of ["denovisor", "c"] as const) {
      await recorder.attempt(`exits, ${contender}`, async () => {
        const { stdout } = await run(commands[contender]);
        const least = { c: 1 / 1.1 };
        recorder.add({ ...row, better: "lower", least }, contender, Number(stdout) / 1000);
      });
    }
  }
  await Deno.remove(c);
}
