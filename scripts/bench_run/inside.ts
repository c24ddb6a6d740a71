/**
 * The measurements, where they run: in the lab, or on the machine itself.
 *
 * @module
 */
import { block } from "./block.ts";
import { boot } from "./boot.ts";
import { cpu } from "./cpu.ts";
import { density } from "./density.ts";
import { exits } from "./exits.ts";
import { forks } from "./forks.ts";
import type { Bench, BenchJob } from "./job.ts";
import { memory } from "./memory.ts";
import { migrate, migrateOver } from "./migrate.ts";
import { net } from "./net.ts";
import { serveOtherHost } from "./other_host.ts";
import { Recorder } from "./recorder.ts";
import { formatResults, parseResults, type Results, terminalTable } from "./results.ts";
import { restore } from "./restore.ts";
import type { BenchName } from "./rows.ts";
import { save } from "./save.ts";
import { isOtherHost } from "./segment.ts";
import { start } from "./start.ts";
import { upgrade } from "./upgrade.ts";

const ALL: Record<BenchName, Bench> = {
  ...{ block, boot, cpu, density, exits, memory, net, start },
  ...{ restore, save, forks, migrate, upgrade },
  "migrate-hosts": migrateOver,
};

/** As the appliance sets it: huge pages for whoever asks, as all monitors do for their guest's RAM. */
const HUGE_PAGES = {
  "/sys/kernel/mm/transparent_hugepage/enabled": "madvise",
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled": "advise",
};

async function earlier(path: string): Promise<Results> {
  try {
    return parseResults(await Deno.readTextFile(path));
  } catch {
    return {};
  }
}

if (import.meta.main) {
  const job: BenchJob = JSON.parse(Deno.args[0]);
  for (const [path, setting] of Object.entries(job.lab ? HUGE_PAGES : {})) {
    await Deno.writeTextFile(path, setting);
  }
  if (isOtherHost()) await serveOtherHost(job);
  const began = performance.now();
  const measured: Results = {};
  let failed = false;
  for (const name of job.chosen) {
    const recorder = new Recorder((line) => {
      console.error(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${line}`);
    });
    failed = !await recorder.attempt(name, () => ALL[name](job, recorder)) || failed;
    failed ||= recorder.failures.length > 0;
    measured[name] = {
      rows: recorder.rows,
      failures: [...recorder.failures],
      measuredAt: new Date().toISOString(),
      commit: job.commit,
      machine: job.machine,
      rounds: job.rounds,
    };
    // After each: a run that is cut keeps what it has measured.
    const all = { ...await earlier(job.result), ...measured };
    await Deno.writeTextFile(job.result, formatResults(all));
  }
  console.log(terminalTable(measured));
  Deno.exit(failed ? 1 : 0);
}
