/**
 * How fast the guest's own work is: arithmetic, timers, and tasks that wake each other on two CPUs.
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";
import { found } from "./tool_output.ts";

const HACKBENCH_LOOPS = 100;

export async function cpu(job: BenchJob, recorder: Recorder): Promise<void> {
  const boots = { kernel: job.files.kernel, initrd: job.files.tools.cpu };
  for (let round = 1; round <= job.rounds; round++) {
    for (const monitor of MONITORS) {
      // Two guests with two vCPUs at once are more than nested emulation bears.
      await recorder.attempt(`cpu, ${monitor}`, async () => {
        await using guest = await BenchGuest.start({
          command: commandOf(monitor, { cpus: 2, memoryMiB: 256, boots }, job),
          until: REACHED.userSpace,
        });
        const sha = await guest.run(
          `openssl speed -mr -seconds ${job.seconds} -bytes 16384 -evp sha256 2> /dev/null`,
        );
        recorder.add(
          { name: "cpu: openssl sha256", unit: "MB/s", better: "higher" },
          monitor,
          found(/^\+F:\d+:sha256:([\d.]+)/mi, sha) / 1e6,
        );
        const timer = await guest.run(`cyclictest -q -m -t1 -p80 -i1000 -D${job.seconds}`);
        recorder.add(
          { name: "cpu: timer latency, mean", unit: "us", better: "lower" },
          monitor,
          found(/Avg: *(\d+)/, timer),
        );
        const tasks = await guest.run(`hackbench -g 1 -l ${HACKBENCH_LOOPS}`);
        recorder.add(
          { name: "cpu: hackbench on 2 vCPUs", unit: "s", better: "lower" },
          monitor,
          found(/^Time: ([\d.]+)/m, tasks),
        );
      });
    }
  }
}
