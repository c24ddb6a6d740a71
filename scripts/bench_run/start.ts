/**
 * From the monitor's start to the guest's first instructions, which send a byte: a kernel of a few
 * bytes in our VMM, and the same as firmware in QEMU, whose own would come before any kernel.
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, type Monitor, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";

const SHAPES = [
  { cpus: 1, memoryMiB: 128 },
  { cpus: 4, memoryMiB: 1024 },
];

export async function start(job: BenchJob, recorder: Recorder): Promise<void> {
  const monitors = await startable();
  for (const shape of SHAPES) {
    const name = `start to the first instruction, ${shape.cpus} vCPU, ${shape.memoryMiB} MiB`;
    for (let round = 0; round <= job.rounds; round++) {
      for (const monitor of monitors) {
        await recorder.attempt(`${name}, ${monitor}`, async () => {
          await using guest = await BenchGuest.start({
            command: commandOf(monitor, { ...shape, boots: job.files }, job),
            until: REACHED.instructions,
          });
          if (round === 0) return;
          recorder.add({ name, unit: "ms", better: "lower" }, monitor, guest.seconds * 1000);
        });
      }
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
