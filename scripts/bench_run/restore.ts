/**
 * How long it takes until a guest that was saved runs again, in a monitor that was started before: from
 * being told to, to its first instruction.
 *
 * @module
 */
import { copiedCommand, CopiedGuest, type CopiedShape } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import { type Monitor, MONITORS } from "./monitors.ts";
import { Qmp } from "./qmp.ts";
import type { Recorder } from "./recorder.ts";
import { WaitingVmm } from "./waiting_vmm.ts";

/** A guest of a few bytes has no more than the first GiB mapped. */
const shapes = ({ noLinux }: BenchJob): readonly CopiedShape[] => [
  { memoryMiB: 128, filledMiB: 32 },
  { memoryMiB: 4096, filledMiB: noLinux ? 512 : 1024 },
];
/** 0.1 of QEMU's time, in the lab. */
const LEAST = { microvm: 10, q35: 10 };

export async function restore(job: BenchJob, recorder: Recorder): Promise<void> {
  for (const shape of shapes(job)) {
    const { memoryMiB, filledMiB } = shape;
    const name = `restore to the first instruction, ${memoryMiB} MiB with ${filledMiB} in use`;
    const least = job.lab ? { least: LEAST } : {};
    const row = { name, unit: "ms", better: "lower", ...least } as const;
    for (const monitor of MONITORS) {
      await recorder.attempt(`${name}, ${monitor}`, async () => {
        const folder = Deno.makeTempDirSync({ prefix: "restore-" });
        try {
          await saveOne(monitor, shape, { job, path: `${folder}/saved` });
          for (let round = 0; round <= job.rounds; round++) {
            const ms = monitor === "denovisor"
              ? await ours(job, `${folder}/saved`)
              : await qemu(monitor, shape, { job, path: `${folder}/saved` });
            if (round > 0) recorder.add(row, monitor, ms);
          }
        } finally {
          await Deno.remove(folder, { recursive: true });
        }
      });
    }
  }
}

interface Where {
  job: BenchJob;
  path: string;
}

async function saveOne(monitor: Monitor, shape: CopiedShape, { job, path }: Where): Promise<void> {
  await using guest = await CopiedGuest.start(monitor, shape, job);
  if (monitor === "denovisor") {
    await guest.ask({ op: "save", directory: path });
    return;
  }
  using qmp = await guest.qmp();
  await qmp.command("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
  await qmp.command("migrate", { uri: `file:${path}` });
  await qmp.migrated();
}

async function ours(job: BenchJob, directory: string): Promise<number> {
  await using vmm = await WaitingVmm.start(job.vmm);
  return await vmm.order({ restore: directory, identity: "same" });
}

async function qemu(monitor: Monitor, shape: CopiedShape, { job, path }: Where): Promise<number> {
  const folder = Deno.makeTempDirSync({ prefix: "incoming-" });
  const socket = `${folder}/qmp.sock`;
  const [program, ...args] = copiedCommand(monitor, { ...shape, socket }, job);
  const child = new Deno.Command(program, {
    args: [...args, "-incoming", "defer"],
    ...{ stdin: "null", stdout: "null", stderr: "null" },
  }).spawn();
  try {
    using qmp = await Qmp.open(socket);
    const began = performance.now();
    await qmp.command("migrate-incoming", { uri: `file:${path}` });
    await qmp.event("RESUME");
    return performance.now() - began;
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await Deno.remove(folder, { recursive: true });
  }
}
