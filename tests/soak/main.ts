/**
 * Hundreds of times what the tests do once, in the lab: `deno task soak`.
 *
 * @module
 */
import { guestFiles } from "../../scripts/bench_run/guest_files.ts";
import { runInLab } from "../../scripts/lab.ts";
import { PcEnded } from "../../scripts/lab_pc/machine.ts";
import { parseLabOptions } from "../../scripts/lab_pc/options.ts";
import { CHECKOUT, OUT } from "../../scripts/setup/checkout.ts";
import { vmmBundle } from "../../scripts/vmm_bundle.ts";
import { soakByTime, soakFor } from "./by_time.ts";
import type { SoakJob } from "./cycles.ts";
import type { MovesJob } from "./moves.ts";
import { cutPower, type PowerCutsOptions } from "./power_cuts/power_cuts.ts";
import { supervisorBundle } from "./supervisor_bundle.ts";
import { EXIT, parseSoakOptions, type SoakOptions, USAGE } from "./options.ts";

/** Of each PC. */
const LAB_MEMORY_MIB = { 1: "4096", 2: "2048" };
/** What the PCs of two hosts say beside the soak's own words: their supervisors' log. */
const LOG = `${OUT}/soak-hosts.log`;

function readOptions(): SoakOptions {
  try {
    return parseSoakOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(EXIT.usage);
  }
}

/** Cuts the appliance's power, and counts. */
async function powerCuts(times: PowerCutsOptions): Promise<number> {
  const { survived, tried } = await cutPower(times);
  console.log(`${survived} of ${tried} power cuts were survived`);
  return survived === tried ? EXIT.held : EXIT.failed;
}

async function soak({ hosts, times }: SoakOptions): Promise<number> {
  if (hosts === "all") {
    return await soakByTime({ ...times, soak: soakFor, say: (line) => console.log(line) });
  }
  if (hosts === "appliance") return await powerCuts(times);
  const { kernel, tools } = await guestFiles();
  const files = { vmm: await vmmBundle(), kernel, initrd: tools.block };
  const job: SoakJob | MovesJob = hosts === 1
    ? { ...times, ...files }
    : { ...times, ...files, supervisor: await supervisorBundle() };
  const script = `${CHECKOUT}/tests/soak/${hosts === 1 ? "cycles" : "moves"}.ts`;
  const command = ["deno", "run", "-A", "--no-check", script, JSON.stringify(job)];
  const shape = ["--memory", LAB_MEMORY_MIB[hosts], "--hosts", String(hosts)];
  const log = hosts === 1 ? Deno.stderr : await Deno.create(LOG);
  try {
    return await runInLab(parseLabOptions([...shape, "--", ...command]), {
      onOutput: (bytes) => Deno.stdout.writeSync(bytes),
      onErrors: (bytes) => log.writeSync(bytes),
    });
  } catch (error) {
    if (!(error instanceof PcEnded)) throw error;
    console.log(`NO VERDICT, an emulated PC ended by itself: ${error.message}`);
    return EXIT.noVerdict;
  }
}

const options = readOptions();
const code = await soak(options);
if (options.hosts === 2 && code !== EXIT.held) console.error(`The hosts' log is ${LOG}`);
Deno.exit(code);
