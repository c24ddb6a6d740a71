/**
 * From the monitor's start to the guest's init.
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";

const SHAPES = [
  { cpus: 1, memoryMiB: 128 },
  { cpus: 2, memoryMiB: 1024 },
];

export async function boot(job: BenchJob, recorder: Recorder): Promise<void> {
  const boots = { kernel: job.files.kernel, initrd: job.files.marker };
  for (const shape of SHAPES) {
    const what = `${shape.cpus} vCPU, ${shape.memoryMiB} MiB`;
    const unit = { unit: "s", better: "lower", least: { microvm: 1, q35: 1 / 0.7 } } as const;
    const own = { name: `boot to init, ${what}: before the kernel's clock`, unit: "s" } as const;
    // A round that does not count brings every file into memory.
    for (let round = 0; round <= job.rounds; round++) {
      for (const monitor of MONITORS) {
        await recorder.attempt(`boot, ${what}, ${monitor}`, async () => {
          await using guest = await BenchGuest.start({
            command: commandOf(monitor, { ...shape, boots }, job),
            until: REACHED.userSpace,
          });
          if (round === 0) return;
          recorder.add({ name: `boot to init, ${what}`, ...unit }, monitor, guest.seconds);
          const before = Math.max(0, guest.seconds - guest.kernelSeconds);
          recorder.add({ ...own, better: "lower" }, monitor, before);
        });
      }
    }
  }
}
