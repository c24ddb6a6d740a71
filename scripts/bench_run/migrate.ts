/**
 * A guest that moves to another monitor of the same host, over a unix socket: how long it stands still,
 * idle and while it writes to its memory. Both of a pair have the host's two CPUs for themselves.
 *
 * @module
 */
import { ALLOWED_PAUSE_MS } from "./save.ts";
import { copiedCommand, CopiedGuest, type CopiedShape, LOADS } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import { type Monitor, MONITORS } from "./monitors.ts";
import { Qmp } from "./qmp.ts";
import type { Recorder } from "./recorder.ts";
import { WaitingVmm } from "./waiting_vmm.ts";

const SHAPE = { memoryMiB: 512, filledMiB: 128 };

export async function migrate(job: BenchJob, recorder: Recorder): Promise<void> {
  for (const load of Object.keys(LOADS) as (keyof typeof LOADS)[]) {
    const row = {
      name: `migrate: the guest's pause, ${load}`,
      unit: "ms",
      better: "lower",
    } as const;
    for (let round = 0; round <= job.rounds; round++) {
      for (const monitor of MONITORS) {
        await recorder.attempt(`${row.name}, ${monitor}`, async () => {
          const shape = { ...SHAPE, load };
          await using guest = await CopiedGuest.start(monitor, shape, job);
          const ms = monitor === "denovisor"
            ? await ours(guest, job)
            : await qemu(guest, monitor, { shape, job });
          if (round > 0) recorder.add(row, monitor, ms);
        });
      }
    }
  }
}

async function ours(guest: CopiedGuest, job: BenchJob): Promise<number> {
  await using vmm = await WaitingVmm.start(job.vmm);
  const socket = await vmm.expect("receive");
  const request = { op: "send", socket, allowedPauseMs: ALLOWED_PAUSE_MS, force: true };
  return (await guest.ask(request)).pauseMs;
}

async function qemu(
  guest: CopiedGuest,
  monitor: Monitor,
  { shape, job }: { shape: CopiedShape; job: BenchJob },
): Promise<number> {
  const folder = Deno.makeTempDirSync({ prefix: "incoming-" });
  const uri = `unix:${folder}/migrate.sock`;
  const [program, ...args] = copiedCommand(
    monitor,
    { ...shape, socket: `${folder}/qmp.sock` },
    job,
  );
  const child = new Deno.Command(program, {
    args: [...args, "-incoming", uri],
    ...{ stdin: "null", stdout: "null", stderr: "null" },
  }).spawn();
  try {
    using there = await Qmp.open(`${folder}/qmp.sock`);
    await there.command("query-status");
    using here = await guest.qmp();
    await here.command("migrate-set-capabilities", {
      capabilities: [{ capability: "auto-converge", state: true }],
    });
    await here.command("migrate-set-parameters", {
      "downtime-limit": ALLOWED_PAUSE_MS,
      "max-bandwidth": 2 ** 40,
    });
    await here.command("migrate", { uri });
    return Number((await here.migrated()).downtime);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await Deno.remove(folder, { recursive: true });
  }
}
