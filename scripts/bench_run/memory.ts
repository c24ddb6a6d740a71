/**
 * What an idle monitor costs the machine, its guest's RAM not counted.
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import { Cgroup } from "./cgroup.ts";
import { type BenchJob, seconds } from "./job.ts";
import { commandOf, MONITORS } from "./monitors.ts";
import { processMemory } from "./process_memory.ts";
import type { Recorder } from "./recorder.ts";

/** No other mapping of a monitor has this size: V8 likes powers of two. */
const MEMORY_MIB = 200;
/** Until what the start needed is given back. */
const SETTLE_SECONDS = 5;

export async function memory(job: BenchJob, recorder: Recorder): Promise<void> {
  const boots = { kernel: job.files.kernel, initrd: job.files.marker };
  for (const cpus of [1, 4]) {
    const row = (what: string) =>
      ({ name: `memory, ${cpus} vCPU: ${what}`, unit: "MiB", better: "lower" }) as const;
    for (let round = 1; round <= job.rounds; round++) {
      for (const monitor of MONITORS) {
        await recorder.attempt(`memory, ${cpus} vCPU, ${monitor}`, async () => {
          await using group = await Cgroup.create(`memory-${monitor}-${cpus}-${round}`);
          await using guest = await BenchGuest.start({
            command: commandOf(monitor, { cpus, memoryMiB: MEMORY_MIB, boots }, job),
            until: REACHED.userSpace,
            cgroup: group.path,
          });
          await seconds(SETTLE_SECONDS);
          const sizes = await processMemory(guest.pid, MEMORY_MIB);
          const stat = await group.memoryStat();
          const kernel = stat.kernel / 2 ** 20;
          recorder.add(row("private"), monitor, sizes.private);
          recorder.add(row("proportional"), monitor, sizes.proportional);
          recorder.add(row("the kernel's for it"), monitor, kernel);
          recorder.add(row("of it slab"), monitor, stat.slab / 2 ** 20);
          recorder.add(row("of it page tables"), monitor, stat.pagetables / 2 ** 20);
          recorder.add(row("private and the kernel's"), monitor, sizes.private + kernel);
        });
      }
    }
  }
}
