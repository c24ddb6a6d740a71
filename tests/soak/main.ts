/**
 * Hundreds of times what the tests do once: `deno task soak [--saves N] [--forks N] [--sends N] [--upgrades N]`.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { guestFiles } from "../../scripts/bench_run/guest_files.ts";
import { runInLab } from "../../scripts/lab.ts";
import { parseLabOptions } from "../../scripts/lab_pc/options.ts";
import { CHECKOUT } from "../../scripts/setup/checkout.ts";
import { vmmBundle } from "../../scripts/vmm_bundle.ts";
import type { SoakJob } from "./cycles.ts";

const TIMES = { saves: 100, forks: 100, sends: 50, upgrades: 50 };
const LAB_MEMORY_MIB = "4096";

const flags = parseArgs(Deno.args, { string: Object.keys(TIMES) }) as Record<string, unknown>;
const times = Object.fromEntries(
  Object.entries(TIMES).map(([name, usual]) => {
    const text = String(flags[name] ?? usual);
    if (!/^\d{1,5}$/.test(text)) {
      console.error(`Cannot soak: "--${name} ${text}" is not a number of times`);
      Deno.exit(2);
    }
    return [name, Number(text)];
  }),
) as typeof TIMES;

const { kernel, tools } = await guestFiles();
const job: SoakJob = { ...times, vmm: await vmmBundle(), kernel, initrd: tools.block };
const script = `${CHECKOUT}/tests/soak/cycles.ts`;
const command = ["deno", "run", "-A", "--no-check", script, JSON.stringify(job)];
Deno.exit(
  await runInLab(parseLabOptions(["--memory", LAB_MEMORY_MIB, "--", ...command]), {
    onOutput: (bytes) => Deno.stdout.writeSync(bytes),
    onErrors: (bytes) => Deno.stderr.writeSync(bytes),
  }),
);
