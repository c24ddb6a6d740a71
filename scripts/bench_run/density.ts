/**
 * Many small guests at once: of a few bytes and halted, so that what is seen is the monitors' own.
 * (Debian's kernel needs 72 MiB to unpack itself.)
 *
 * @module
 */
import { BenchGuest, REACHED } from "./bench_guest.ts";
import { Cgroup } from "./cgroup.ts";
import { type BenchJob, seconds } from "./job.ts";
import { commandOf, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";

const MEMORY_MIB = 64;
/** Ours gives back what its start left behind after ten. */
const SETTLE_SECONDS = 30;
const IDLE_SECONDS = 20;

export async function density(job: BenchJob, recorder: Recorder): Promise<void> {
  const spec = { cpus: 1, memoryMiB: MEMORY_MIB, boots: job.files };
  const what = `density: ${job.guests} guests`;
  for (const monitor of MONITORS) {
    await recorder.attempt(`${what}, ${monitor}`, async () => {
      const boots = { command: commandOf(monitor, spec, job), until: REACHED.instructions };
      // One that does not count, so that files are in the page cache, and Deno has a bundle's modules
      // analysed, which it keeps.
      await (await BenchGuest.start(boots))[Symbol.asyncDispose]();
      await using group = await Cgroup.create(`density-${monitor}`);
      await using stack = new AsyncDisposableStack();
      const before = await availableMiB();
      const began = performance.now();
      const start = async () => {
        stack.use(await BenchGuest.start({ ...boots, cgroup: group.path }));
      };
      const results = await Promise.allSettled(Array.from({ length: job.guests }, start));
      const failed = results.find((it) => it.status === "rejected");
      if (failed) throw failed.reason;
      const took = (performance.now() - began) / 1000;
      await seconds(SETTLE_SECONDS);
      const used = before - await availableMiB();
      const cpu = await group.cpuSeconds();
      await seconds(IDLE_SECONDS);
      const idle = (await group.cpuSeconds() - cpu) / IDLE_SECONDS * 100;
      recorder.add(
        { name: `${what}, time to start all`, unit: "s", better: "lower" },
        monitor,
        took,
      );
      const memory = { name: `${what}, memory of the host`, unit: "MiB", better: "lower" } as const;
      recorder.add(memory, monitor, Math.max(0, used));
      const busy = { name: `${what}, CPU of the host when idle`, unit: "% of a CPU" } as const;
      recorder.add({ ...busy, better: "lower" }, monitor, idle);
    });
  }
}

/** What the host has left. */
export async function availableMiB(): Promise<number> {
  const text = await Deno.readTextFile("/proc/meminfo");
  return Number(/^MemAvailable: +(\d+) kB$/m.exec(text)![1]) / 1024;
}
