/**
 * Runs a command in the lab.
 *
 * @module
 */
import { labFiles } from "./lab_pc/files.ts";
import { Link, onLink } from "./lab_pc/link.ts";
import { LabPc } from "./lab_pc/machine.ts";
import { type LabOptions, parseLabOptions, USAGE } from "./lab_pc/options.ts";
import { probeKvm } from "./lab_pc/probe_kvm.ts";
import { warmState } from "./lab_pc/warm.ts";
import { CHECKOUT, progress } from "./setup/checkout.ts";

/** What the command sees of this machine's environment. */
const PASSED_ON = /^(CI|NO_COLOR|FORCE_COLOR|TERM|LAB_[A-Z_]+)$/;

/** Where the output of a run in the lab goes. */
export interface LabOutput {
  onOutput(bytes: Uint8Array): void;
  onErrors(bytes: Uint8Array): void;
  /** Switches the PC off, which makes the run fail. */
  stop?: AbortSignal;
}

/**
 * Boots the emulated PC, runs the command in it and returns the command's exit code; of several PCs, the
 * first one's.
 */
export async function runInLab(options: LabOptions, output: LabOutput): Promise<number> {
  await using pcs = new Pcs();
  if (options.hosts === 1) pcs.add(await startLab(options));
  else await startLinked(options, pcs);
  using signalled = endOnSignal(pcs);
  output.stop?.addEventListener("abort", () => void pcs[Symbol.asyncDispose]());
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(Deno.env.toObject())) {
    if (PASSED_ON.test(name)) env[name] = value;
  }
  const job = { cwd: CHECKOUT, env, ...output };
  const run = (pc: LabPc, host: number) =>
    pc.run({
      ...job,
      command: onLink(host, options.command),
      env: { ...env, LAB_HOST: String(host) },
    });
  let gone: unknown;
  try {
    const [first, ...others] = pcs.all;
    if (others.length === 0) return await first.run({ ...job, command: options.command });
    // They serve the first, whose end is theirs; and without one of them there is nothing to go on with.
    for (const [i, pc] of others.entries()) {
      run(pc, i + 2).catch((error) => {
        gone ??= error;
        return pcs[Symbol.asyncDispose]();
      });
    }
    return await run(first, 1);
  } catch (error) {
    // The PC did not end by itself then, and this process is about to.
    await signalled.exit;
    // Of several, which ended first is what happened.
    throw gone ?? error;
  }
}

/** The PCs of a run, which end together. */
class Pcs implements AsyncDisposable {
  readonly all: LabPc[] = [];

  add(pc: LabPc): void {
    this.all.push(pc);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((pc) => pc[Symbol.asyncDispose]()));
  }
}

/** Starts PCs that share a segment, one after the other. */
async function startLinked(options: LabOptions, pcs: Pcs): Promise<void> {
  await using link = new Link();
  for (let host = 1; host <= options.hosts; host++) {
    pcs.add(await startLab(options, link.netdev(host)));
  }
}

/** Starts the PC, trying again if it does not come to life: nothing under test has run by then. */
async function startLab(options: LabOptions, netdev?: readonly string[]): Promise<LabPc> {
  const files = await labFiles();
  const shape = {
    ...{ cpus: options.cpus, memoryMiB: options.memoryMiB, disks: options.disks.length },
    linked: netdev !== undefined,
  };
  for (let attempt = 1;; attempt++) {
    // The last attempt boots, should the saved state itself be the trouble.
    const warm = attempt < 3 ? await warmState(files, shape) : undefined;
    const pc = await LabPc.start({ ...shape, files, diskSizes: options.disks, netdev, warm });
    try {
      await pc.wake({ warm: warm !== undefined });
      return pc;
    } catch (error) {
      await pc[Symbol.asyncDispose]();
      if (attempt === 3) throw error;
      progress(`the lab's PC did not start, trying again: ${(error as Error).message}`);
    }
  }
}

/**
 * Has a signal end the PCs and then this process, as the shell expects of one that was signalled:
 * `exit` is there from the signal on, and never fulfilled.
 */
function endOnSignal(pcs: Pcs): Disposable & { exit?: Promise<never> } {
  const signalled: Disposable & { exit?: Promise<never> } = {
    [Symbol.dispose]: () => listeners.forEach((remove) => remove()),
  };
  const listeners = Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }).map(
    ([signal, code]) => {
      const listener = () => {
        signalled.exit ??= pcs[Symbol.asyncDispose]().then(() => Deno.exit(code));
      };
      Deno.addSignalListener(signal as Deno.Signal, listener);
      return () => Deno.removeSignalListener(signal as Deno.Signal, listener);
    },
  );
  return signalled;
}

async function main(): Promise<number> {
  let options: LabOptions;
  try {
    options = parseLabOptions(Deno.args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (options.native) return await runNative(options);
  return await runInLab(options, {
    onOutput: (bytes) => writeFully(Deno.stdout, bytes),
    onErrors: (bytes) => writeFully(Deno.stderr, bytes),
  });
}

/** Runs the command here and now; scratch disks and a network of its own it has none. */
async function runNative(options: LabOptions): Promise<number> {
  const { works, reason } = await probeKvm();
  if (!works) {
    console.error(
      `Cannot run "${
        options.command.join(" ")
      }" natively: this machine's KVM cannot be used, ${reason}; leave out --native`,
    );
    return 1;
  }
  const [program, ...args] = options.command;
  const child = new Deno.Command(program, { args, cwd: CHECKOUT, env: { LAB_NATIVE: "1" } })
    .spawn();
  return (await child.status).code;
}

function writeFully(to: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
}

if (import.meta.main) Deno.exit(await main());
