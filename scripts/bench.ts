/**
 * Measures our VMM beside QEMU, and our exit loop beside the same in C.
 *
 * @module
 */
import { guestFiles } from "./bench_run/guest_files.ts";
import type { BenchJob } from "./bench_run/job.ts";
import { type BenchOptions, parseBenchOptions, USAGE } from "./bench_run/options.ts";
import { markdownTable, parseResults, withTable } from "./bench_run/results.ts";
import { runInLab } from "./lab.ts";
import { parseLabOptions } from "./lab_pc/options.ts";
import { probeKvm } from "./lab_pc/probe_kvm.ts";
import { CHECKOUT, OUT } from "./setup/checkout.ts";
import { run } from "./setup/command.ts";
import { measuringTools } from "./setup/measuring_tools.ts";
import { vmmBundle } from "./vmm_bundle.ts";

const RESULT = `${OUT}/bench.json`;
/** What the machine itself did is not to be mixed with what the lab did. */
const NATIVE_RESULT = `${OUT}/bench-native.json`;
/** For fifty guests. */
const LAB_MEMORY_MIB = "8192";

async function main(): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseBenchOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (options.readme) return await writeReadme();
  return await measure(options);
}

async function measure(options: BenchOptions): Promise<number> {
  await Deno.mkdir(OUT, { recursive: true });
  const { native, scratch, chosen, rounds, seconds, guests, hosts } = options;
  const job: BenchJob = {
    ...{ chosen, rounds, seconds, guests },
    vmm: await vmmBundle(),
    kernelCache: native ? `${OUT}/kernels` : "/tmp/kernels",
    files: await guestFiles(),
    tools: await measuringTools(),
    scratch: native ? scratch ?? "/var/tmp" : "/dev/vdb",
    result: native ? NATIVE_RESULT : RESULT,
    lab: !native,
    noLinux: native ? await whyNoLinux() : undefined,
    machine: await machine({ native, hosts }),
    commit: (await run(["git", "-C", CHECKOUT, "describe", "--always", "--dirty"])).stdout.trim(),
  };
  const inside = [
    ...["run", "-A", "--no-check", `${CHECKOUT}/scripts/bench_run/inside.ts`, JSON.stringify(job)],
  ];
  if (native) {
    return (await new Deno.Command(Deno.execPath(), { args: inside }).spawn().status).code;
  }
  return await runInLab(
    parseLabOptions([
      ...["--memory", LAB_MEMORY_MIB, "--hosts", String(hosts), "--", "deno", ...inside],
    ]),
    {
      onOutput: (bytes) => Deno.stdout.writeSync(bytes),
      onErrors: (bytes) => Deno.stderr.writeSync(bytes),
    },
  );
}

async function whyNoLinux(): Promise<string | undefined> {
  const { works, reason } = await probeKvm();
  return works ? undefined : reason;
}

async function machine({ native, hosts }: { native: boolean; hosts: number }): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo");
  const model = /^model name\s*: (.*)$/m.exec(text)?.[1] ?? "an unknown CPU";
  const cpus = text.match(/^processor\s*:/gm)?.length ?? 1;
  const real = `${cpus} CPUs of ${model}`;
  if (native) return real;
  if (hosts > 1) return `${hosts} PCs of the lab on one segment, emulated at once on ${real}`;
  return `the lab, a PC with 2 CPUs and AMD-V that is emulated on ${real}`;
}

async function writeReadme(): Promise<number> {
  const page = `${CHECKOUT}/README.md`;
  const places = [
    { from: RESULT, command: "./scripts/bench" },
    { from: NATIVE_RESULT, command: "./scripts/bench --native", where: "native" as const },
  ];
  const measured: string[] = [];
  for (const { from, command, where } of places) {
    const text = await Deno.readTextFile(from).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    });
    if (text === undefined) continue;
    const table = markdownTable(parseResults(text), command);
    await Deno.writeTextFile(page, withTable(await Deno.readTextFile(page), table, where));
    measured.push(from);
  }
  await run([Deno.execPath(), "fmt", "--quiet", page]);
  console.log(
    `README.md has the figures of ${measured.join(" and ") || "nothing: none were found"}`,
  );
  return 0;
}

if (import.meta.main) Deno.exit(await main());
