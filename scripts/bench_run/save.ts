/**
 * How long a guest stands still while it is saved to a file system in memory, idle and while it writes
 * to its memory.
 *
 * @module
 */
import { CopiedGuest, LOCAL_LOADS } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import { MONITORS } from "./monitors.ts";
import type { Recorder } from "./recorder.ts";

const MEMORY_MIB = 512;
const FILLED_MIB = 128;
/** What either may stop its guest for; as QEMU counts it, that is memory alone. */
export const ALLOWED_PAUSE_MS = 300;

export async function save(job: BenchJob, recorder: Recorder): Promise<void> {
  for (const load of LOCAL_LOADS) {
    const row = { name: `save: the guest's pause, ${load}`, unit: "ms", better: "lower" } as const;
    const shape = { memoryMiB: MEMORY_MIB, filledMiB: FILLED_MIB, load };
    for (const monitor of MONITORS) {
      await recorder.attempt(`${row.name}, ${monitor}`, async () => {
        await using guest = await CopiedGuest.start(monitor, shape, job);
        for (let round = 0; round <= job.rounds; round++) {
          const ms = await pauseOf(guest);
          if (round > 0) recorder.add(row, monitor, ms);
        }
      });
    }
  }
}

async function pauseOf(guest: CopiedGuest): Promise<number> {
  const folder = Deno.makeTempDirSync({ prefix: "saved-" });
  try {
    if (guest.monitor === "denovisor") {
      const directory = `${folder}/snapshot`;
      const allowedPauseMs = ALLOWED_PAUSE_MS;
      return (await guest.ask({ op: "save", directory, allowedPauseMs })).pauseMs;
    }
    using qmp = await guest.qmp();
    await qmp.command("migrate-set-parameters", {
      "downtime-limit": ALLOWED_PAUSE_MS,
      "max-bandwidth": 2 ** 40,
    });
    await qmp.command("migrate", { uri: `file:${folder}/state` });
    const { downtime } = await qmp.migrated();
    await qmp.command("cont");
    return Number(downtime);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
