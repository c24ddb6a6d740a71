/**
 * The measurements, inside the lab.
 *
 * @module
 */
import { CHECKOUT } from "../setup/checkout.ts";
import { run } from "../setup/command.ts";
import { median } from "./median.ts";
import { type BenchGuest, commandOf, type Monitor, MONITORS, ReachedGuest } from "./monitors.ts";
import { privateMemory } from "./private_memory.ts";

const ROUNDS = 5;
const EXITS = 20_000;

interface BenchJob {
  vmm: string;
  guest: BenchGuest;
  result: string;
  chosen: string[];
}

type Figures = Record<string, number[]>;

const rounded = (number: number, digits = 2) => number.toFixed(digits);

function show(title: string, unit: string, figures: Figures, ours: string): void {
  console.log(`\n${title}`);
  const base = median(figures[ours]);
  for (const [name, numbers] of Object.entries(figures)) {
    const middle = median(numbers);
    const ratio = name === ours ? "" : `  ours is ${rounded(base / middle)} times this`;
    console.log(
      `  ${name.padEnd(24)} ${rounded(middle).padStart(10)} ${unit}` +
        `  (${rounded(Math.min(...numbers))} to ${rounded(Math.max(...numbers))})${ratio}`,
    );
  }
}

async function boot(job: BenchJob): Promise<{ all: Figures; monitor: Figures }> {
  const all: Figures = {};
  const own: Figures = {};
  // One round that does not count brings every file into memory.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const monitor of MONITORS) {
      await using guest = await ReachedGuest.start(commandOf(monitor, { ...job, stay: true }));
      if (round === 0) continue;
      (all[monitor] ??= []).push(guest.seconds);
      (own[monitor] ??= []).push(guest.seconds - guest.kernelSeconds);
    }
  }
  return { all, monitor: own };
}

async function memory(job: BenchJob): Promise<{ total: Figures; monitor: Figures }> {
  const total: Figures = {};
  const own: Figures = {};
  for (const monitor of MONITORS as readonly Monitor[]) {
    await using guest = await ReachedGuest.start(commandOf(monitor, { ...job, stay: true }));
    // Until what the start needed is given back.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const sizes = await privateMemory(guest.pid, job.guest.memoryMiB);
    total[monitor] = [sizes.total];
    own[monitor] = [sizes.monitor];
  }
  return { total, monitor: own };
}

async function exits(): Promise<Figures> {
  const c = "/tmp/exit_loop";
  await run(["gcc", "-O2", "-o", c, `${CHECKOUT}/scripts/bench_run/exit_loop.c`]);
  const loops: Record<string, string[]> = {
    denovisor: [
      ...[Deno.execPath(), "run", "-A", "--no-check", `${CHECKOUT}/scripts/bench_run/exit_loop.ts`],
      String(EXITS),
    ],
    c: [c, String(EXITS)],
  };
  const figures: Figures = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(loops)) {
      (figures[name] ??= []).push(Number((await run(command)).stdout) / 1000);
    }
  }
  return figures;
}

if (import.meta.main) {
  const job: BenchJob = JSON.parse(Deno.args[0]);
  const result: Record<string, Figures> = {};
  if (job.chosen.includes("exits")) {
    result.exitMicroseconds = await exits();
    show("One exit to the device model and back", "us", result.exitMicroseconds, "denovisor");
  }
  if (job.chosen.includes("memory")) {
    const { total, monitor } = await memory(job);
    result.monitorMiB = monitor;
    result.totalMiB = total;
    show("Private memory of the monitor, one idle vCPU", "MiB", monitor, "denovisor");
    show("The same with the guest's RAM", "MiB", total, "denovisor");
  }
  if (job.chosen.includes("boot")) {
    const { all, monitor } = await boot(job);
    result.bootSeconds = all;
    result.beforeKernelSeconds = monitor;
    show("From the monitor's start to the guest's init", "s", all, "denovisor");
    show("Of it before the guest's kernel runs", "s", monitor, "denovisor");
  }
  await Deno.writeTextFile(job.result, JSON.stringify(result, null, 2) + "\n");
}
