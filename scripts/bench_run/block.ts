/**
 * The guest's disk, measured by fio in the guest: a raw file on XFS, through the host's page cache and
 * past it. All contenders have the same two files, one contender at a time.
 *
 * @module
 */
import { run } from "../setup/command.ts";
import { BenchGuest, REACHED } from "./bench_guest.ts";
import type { BenchJob } from "./job.ts";
import { commandOf, type Monitor, MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";

const FILE_MIB = 256;

interface Load {
  name: string;
  rw: "randread" | "randwrite" | "randrw" | "read" | "write";
  size: "4k" | "1M";
  depth: number;
}

const LOADS: readonly Load[] = [
  { name: "4k random read, depth 1", rw: "randread", size: "4k", depth: 1 },
  { name: "4k random write, depth 1", rw: "randwrite", size: "4k", depth: 1 },
  { name: "4k random read, depth 32", rw: "randread", size: "4k", depth: 32 },
  { name: "4k random write, depth 32", rw: "randwrite", size: "4k", depth: 32 },
  { name: "1 MiB sequential read", rw: "read", size: "1M", depth: 8 },
  { name: "1 MiB sequential write", rw: "write", size: "1M", depth: 8 },
];

const WARM_UP: Load = { name: "warm-up", rw: "randrw", size: "4k", depth: 32 };
const WARM_UP_SECONDS = 5;

export async function block(job: BenchJob, recorder: Recorder): Promise<void> {
  const folder = await scratchFolder(job.scratch);
  const disks = [
    { path: `${folder}/cached.raw`, direct: false },
    { path: `${folder}/direct.raw`, direct: true },
  ];
  for (const { path } of disks) {
    // Written, so that no read finds a hole and no write has to allocate.
    await run(["dd", "if=/dev/urandom", `of=${path}`, "bs=1M", `count=${FILE_MIB}`]);
  }
  await run(["sync"]);
  const boots = { kernel: job.files.kernel, initrd: job.files.tools.block };
  await using guests = new AsyncDisposableStack();
  const running = new Map<Monitor, BenchGuest>();
  for (const monitor of MONITORS) {
    await recorder.attempt(`block, ${monitor}`, async () => {
      const guest = await BenchGuest.start({
        command: commandOf(monitor, { cpus: 1, memoryMiB: 512, boots, disks }, job),
        until: REACHED.userSpace,
      });
      running.set(monitor, guests.use(guest));
    });
  }
  for (const [monitor, guest] of running) {
    // A round that does not count, for all: ours has its compiler still at work on the first few
    // thousand requests, which a guest has made by the end of its boot.
    const alive = await recorder.attempt(`block, ${monitor}`, async () => {
      for (const device of ["/dev/vda", "/dev/vdb"]) {
        await fio(guest, WARM_UP, { device, seconds: WARM_UP_SECONDS });
      }
    });
    if (!alive) running.delete(monitor);
  }
  for (const load of LOADS) {
    for (const [index, { direct }] of disks.entries()) {
      const name = `block: ${load.name}, ${direct ? "O_DIRECT" : "cached"}`;
      for (let round = 1; round <= job.rounds; round++) {
        for (const [monitor, guest] of running) {
          const alive = await recorder.attempt(`${name}, ${monitor}`, async () => {
            const device = `/dev/vd${"ab"[index]}`;
            recorder.add(
              load.size === "4k"
                ? { name, unit: "IOPS", better: "higher" }
                : { name, unit: "MiB/s", better: "higher" },
              monitor,
              await fio(guest, load, { device, seconds: job.seconds }),
            );
          });
          if (!alive) running.delete(monitor);
        }
      }
    }
  }
}

/** Operations per second, or MiB per second of large ones. */
async function fio(
  guest: BenchGuest,
  load: Load,
  on: { device: string; seconds: number },
): Promise<number> {
  const text = await guest.run([
    ...["fio --name=load --minimal --terse-version=3 --ioengine=libaio --direct=1 --norandommap"],
    ...[`--filename=${on.device} --rw=${load.rw} --bs=${load.size} --iodepth=${load.depth}`],
    ...[`--size=${FILE_MIB}M --time_based --runtime=${on.seconds} --gtod_reduce=1`],
    // Of the hundred fields: bandwidth in KiB/s and operations per second of reads, then of writes.
    ...["| grep '^3;' | cut -d';' -f7,8,48,49"],
  ].join(" "));
  const fields = /^(\d+);(\d+);(\d+);(\d+)$/m.exec(text)?.slice(1) ?? [];
  const [readRate, reads, writeRate, writes] = fields.map(Number);
  const value = load.size === "4k" ? reads + writes : (readRate + writeRate) / 1024;
  if (!(value > 0)) throw new Error(`Cannot read fio's output: "${text.slice(-200)}"`);
  return value;
}

async function scratchFolder(scratch: string): Promise<string> {
  if ((await Deno.stat(scratch)).isDirectory) return scratch;
  const folder = "/tmp/bench-scratch";
  await run(["mkfs.xfs", "-q", "-f", scratch]);
  await Deno.mkdir(folder, { recursive: true });
  await run(["mount", scratch, folder]);
  return folder;
}
