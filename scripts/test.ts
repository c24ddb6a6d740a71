/**
 * Sets up what the tests need and runs them all, or one part of them.
 *
 * @module
 */
import { baseRoot } from "../bootimg/build/base_root.ts";
import { HAS_KVM } from "../hypervisor/kvm/testing/has_kvm.ts";
import { labFiles } from "./lab_pc/files.ts";
import { markerInitrd } from "./lab_pc/marker_initrd.ts";
import { CHECKOUT, progress } from "./setup/checkout.ts";
import { diskTools } from "./setup/disk_tools.ts";
import { guestSystem } from "./setup/guests.ts";
import { quickGuest } from "./setup/quick_guest.ts";
import { hostPackages } from "./setup/host_packages.ts";
import { vmmBundle } from "./vmm_bundle.ts";
import { labTests, testFilesIn } from "./test_run/lab_files.ts";
import { denoTests, oneTest, type Stage, TestRun } from "./test_run/stages.ts";

const USAGE = `Usage: ./scripts/test [static|unit|fuzz|lab-command|lab|e2e [FILE-OR-OPTION...]]

Without arguments: everything. What follows a part is passed to "deno test", in place of its folder.
  static       format, lint, types, import arrows
  unit         the tests beside the sources, and a hostile guest where there is /dev/kvm
  fuzz         random input for each of the fuzzer's targets, for a minute
  lab-command  ./scripts/lab itself, from outside
  lab          real guests and hostile ones, in the emulated PC
  e2e          a real browser`;

const UNIT = [
  "hypervisor",
  "mgmt",
  "bootimg",
  "jsr",
  "scripts",
  "tests/hostile",
  "tests/agreement",
  "tests/soak",
];
/** The kernel's headers and a compiler for them, a disassembler of ACPI tables. */
const UNIT_PACKAGES = ["gcc", "libc6-dev", "linux-libc-dev", "acpica-tools", "util-linux"];
/** For each target. */
const FUZZ_SECONDS = 60;
/** Targets that run at a time, for each processor. */
const FUZZ_JOBS = 3;
/** Always the same, so that it is a change which turns a run red; others are for `deno task fuzz`. */
const FUZZ_SEED = 3;

/** An emulated PC whose guest has one CPU keeps little more than one of this machine's busy. */
const LANES = 2;
/** So many files of hostile guests share a PC. */
const HOSTILE_FILES = 4;
/**
 * What everything does without, as it has an emulated PC for half an hour only: a copy of a stock guest's
 * memory, of which the saving of one stands for most, and children that get cards of their own ...
 */
const LAB_LEFT_OUT = ["tests/lab/dirty_test.ts", "tests/lab/fork_network_test.ts"];
/** ... and guests that go from VMM to VMM, where the unit tests could run all of them on this machine. */
const HOSTILE_LEFT_OUT = [
  "copies",
  "disk_room",
  "migrate",
  "mirror",
  "moved_devices",
  "packed",
  "postcopy",
  "slow_down",
  "upgrade",
  "upgrade_traffic",
].map((name) => `tests/hostile/${name}_test.ts`);
/** Appliances that are started several times each: of them, everything has one that is followed through its life. */
const E2E_LEFT_OUT = [
  "appliance_faults",
  "appliance_ssh",
  "appliance_starved",
  "image_build",
  "image_start",
  "install",
  "update",
]
  .map((name) => `tests/e2e/${name}_test.ts`);

const run = new TestRun();

async function staticChecks(): Promise<void> {
  await run.stage("format", () => oneTest(["deno", "fmt", "--check", "--quiet"]));
  await run.stage("lint", () => oneTest(["deno", "lint", "--quiet"]));
  await run.stage("types", () => oneTest(["deno", "check", "--quiet", "."]));
  await run.stage(
    "import arrows",
    () => oneTest(["deno", "run", "-A", "--no-check", "scripts/arrows.ts"]),
  );
}

async function unitTests(args: readonly string[]): Promise<void> {
  await run.stage("unit tests", async () => {
    await hostPackages(UNIT_PACKAGES);
    return await denoTests(["--quiet", "--parallel", ...or(args, UNIT)]);
  });
}

async function fuzzTargets(args: readonly string[]): Promise<void> {
  const jobs = String(FUZZ_JOBS * navigator.hardwareConcurrency);
  const options = args.length > 0
    ? args
    : ["--seconds", String(FUZZ_SECONDS), "--seed", String(FUZZ_SEED), "--jobs", jobs];
  await run.stage(
    "fuzz",
    () => oneTest(["deno", "run", "-A", "--no-check", "tests/fuzz/main.ts", ...options]),
  );
}

/**
 * What runs in the emulated PC: files with stock guests in one each. Hostile guests are there too, as the
 * machine itself may have no KVM; most of their files take less time than a PC does to start.
 */
function labStages(args: readonly string[], leftOut: readonly string[] = []): Stage[] {
  const files = (folder: string) => testFilesIn(folder).filter((file) => !leftOut.includes(file));
  const hostile = files("tests/hostile");
  const pcs = Math.ceil(hostile.length / HOSTILE_FILES);
  const runs = namesFiles(args) ? [args] : [
    ...files("tests/lab").map((file) => [file, ...args]),
    ...Array.from(
      { length: pcs },
      (_, pc) => [...hostile.filter((_, i) => i % pcs === pc), ...args],
    ),
  ];
  return runs.map((args) => ({
    name: `lab: ${args.join(" ")}`,
    body: (show) => labTests(args, show),
  }));
}

async function realGuests(args: readonly string[]): Promise<void> {
  await setUpLab();
  await inLanes(labStages(args));
}

async function setUpLab(): Promise<void> {
  await run.stage("lab set-up", async () => {
    await labSetup();
    return { passed: 0, failed: 0, output: "" };
  });
}

async function inLanes(stages: readonly Stage[]): Promise<void> {
  // One is watched while it runs.
  if (stages.length === 1) await run.stageOrAgain(stages[0].name, stages[0].body);
  else await run.together(stages, LANES);
}

function labCommandStage(args: readonly string[]): Stage {
  return {
    name: "lab command",
    body: async (show) => {
      await labFiles();
      return await denoTests(or(args, ["tests/lab_command"]), show);
    },
  };
}

function browserStages(args: readonly string[], leftOut: readonly string[] = []): Stage[] {
  const files = testFilesIn("tests/e2e").filter((file) => !leftOut.includes(file));
  const runs = namesFiles(args) ? [args] : files.map((file) => [file, ...args]);
  return runs.map((args) => ({
    name: `browser: ${args.join(" ")}`,
    body: async (show) => {
      await hostPackages(["chromium"]);
      return await denoTests(args, show);
    },
  }));
}

/** What the lab's tests find in the cache: built here, at full speed and with a network. */
async function labSetup(): Promise<void> {
  await labFiles();
  await vmmBundle();
  await markerInitrd();
  await diskTools();
  await Promise.all([
    quickGuest(),
    guestSystem({ suite: "bookworm", flavour: "cloud" }),
  ]);
}

function namesFiles(args: readonly string[]): boolean {
  return args.some((arg) => !arg.startsWith("-"));
}

function or(given: readonly string[], otherwise: readonly string[]): readonly string[] {
  return namesFiles(given) ? given : [...given, ...otherwise];
}

async function everything(): Promise<void> {
  // Set-up mostly waits for downloads, so the checks that need none of it run beside it. If it
  // fails, the stage that needs it tries again and says why.
  const setup = Promise.all([hostPackages(["chromium", "zstd", "xz-utils"]), labSetup()])
    .then(baseRoot)
    .catch((error) => progress(`set-up failed: ${(error as Error).message}`));
  await staticChecks();
  await unitTests([]);
  await fuzzTargets([]);
  await setup;
  await setUpLab();
  // Not each of many like cases there: tests/hostile/thorough.ts.
  Deno.env.set("LAB_BRIEFLY", "1");
  // Some need a KVM and root.
  const couldRunHere = HAS_KVM && Deno.uid() === 0;
  const leftOut = [...LAB_LEFT_OUT, ...couldRunHere ? HOSTILE_LEFT_OUT : []];
  // Those that take longest first.
  await inLanes([
    ...labStages([], leftOut),
    ...browserStages([], E2E_LEFT_OUT),
    labCommandStage([]),
  ]);
}

if (import.meta.main) {
  const [part, ...args] = Deno.args;
  const parts: Record<string, () => Promise<void>> = {
    all: everything,
    static: staticChecks,
    unit: () => unitTests(args),
    fuzz: () => fuzzTargets(args),
    lab: () => realGuests(args),
    "lab-command": () => inLanes([labCommandStage(args)]),
    e2e: () => inLanes(browserStages(args)),
  };
  const chosen = parts[part ?? "all"];
  if (!chosen) {
    console.error(`Cannot run tests "${part}": there is no part of that name\n\n${USAGE}`);
    Deno.exit(2);
  }
  Deno.chdir(CHECKOUT);
  await chosen();
  console.log(`\n${run.report()}`);
  const { passed, failed } = run.total;
  Deno.exit(failed > 0 || passed === 0 ? 1 : 0);
}
