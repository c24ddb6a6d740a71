/**
 * From the monitor's start to the guest's first instructions, which send a byte: a kernel of a few
 * bytes in our VMM, and the same as firmware in QEMU, whose own would come before any kernel. Ours once
 * more by a VMM that was started before, as the supervisor has one waiting.
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, type Monitor, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";
import { WaitingVmm } from "./waiting_vmm.ts";

const SHAPES = [
  { cpus: 1, memoryMiB: 128 },
  { cpus: 4, memoryMiB: 1024 },
];

export async function start(job: BenchJob, recorder: Recorder): Promise<void> {
  const monitors = await startable();
  for (const shape of SHAPES) {
    const name = `start to the first instruction, ${shape.cpus} vCPU, ${shape.memoryMiB} MiB`;
    const again = { name: `${name}, by a VMM that waited`, unit: "ms", better: "lower" } as const;
    for (let round = 0; round <= job.rounds; round++) {
      for (const monitor of monitors) {
        await recorder.attempt(`${name}, ${monitor}`, async () => {
          await using guest = await BenchGuest.start({
            command: commandOf(monitor, { ...shape, boots: job.files }, job),
            until: REACHED.instructions,
          });
          if (round === 0) return;
          const ms = guest.seconds * 1000;
          recorder.add({ name, unit: "ms", better: "lower" }, monitor, ms);
          // For QEMU there is nothing that could be done before.
          if (monitor !== "denovisor") recorder.add(again, monitor, ms);
        });
      }
      await recorder.attempt(`${again.name}, denovisor`, async () => {
        await using vmm = await WaitingVmm.start(job.vmm);
        const ms = await vmm.run({ ...shape, kernel: job.files.tinyKernel });
        if (round > 0) recorder.add(again, "denovisor", ms);
      });
    }
  }
}

/** Outside the lab there need not be a QEMU. */
async function startable(): Promise<readonly Monitor[]> {
  try {
    await new Deno.Command("qemu-system-x86_64", { args: ["--version"] }).output();
    return MONITORS;
  } catch {
    return ["denovisor"];
  }
}
