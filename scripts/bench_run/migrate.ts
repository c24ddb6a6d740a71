/**
 * A guest that moves to another monitor: how long it stands still, idle, while it writes to its memory, and
 * while it sends to the network.
 * Over a unix socket of the same host, where both of a pair have its two CPUs for themselves; or to another
 * host.
 *
 * @module
 */
import { ALLOWED_PAUSE_MS } from "./save.ts";
import { CopiedGuest, type CopiedShape, LOCAL_LOADS } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import { type Monitor, MONITORS } from "./monitors.ts";
import { receiveThere } from "./other_host.ts";
import { receive, type Receiving } from "./receiving.ts";
import type { Recorder } from "./recorder.ts";
import { joinSegment, StreamEnd } from "./segment.ts";

const SHAPE = { memoryMiB: 512, filledMiB: 128 };

type Receive = (monitor: Monitor, shape: CopiedShape) => Promise<Receiving>;

export async function migrate(job: BenchJob, recorder: Recorder): Promise<void> {
  const here: Receive = (monitor, shape) => receive(monitor, { shape, job });
  for (const load of LOCAL_LOADS) await measure("migrate", { load, to: here }, { job, recorder });
}

/** In the first of two PCs. */
export async function migrateOver(job: BenchJob, recorder: Recorder): Promise<void> {
  await joinSegment("first");
  await using stream = new StreamEnd();
  const there: Receive = (monitor, shape) => receiveThere({ monitor, shape });
  for (const load of [...LOCAL_LOADS, "network"] as const) {
    const goesOn = load === "network" ? () => stream.goesOn() : undefined;
    await measure("migrate to another host", { load, to: there, goesOn }, { job, recorder });
  }
}

interface Measured {
  load: NonNullable<CopiedShape["load"]>;
  to: Receive;
  /** Resolves when it is seen that the guest does what it did. */
  goesOn?: () => Promise<void>;
}

async function measure(
  what: string,
  { load, to, goesOn }: Measured,
  { job, recorder }: { job: BenchJob; recorder: Recorder },
): Promise<void> {
  const row = { name: `${what}: the guest's pause, ${load}`, unit: "ms", better: "lower" } as const;
  for (let round = 0; round <= job.rounds; round++) {
    for (const monitor of MONITORS) {
      await recorder.attempt(`${row.name}, ${monitor}`, async () => {
        const shape = { ...SHAPE, load };
        await using guest = await CopiedGuest.start(monitor, shape, job);
        await using receiving = await to(monitor, shape);
        await goesOn?.();
        const ms = await sent(guest, receiving);
        await goesOn?.();
        if (round > 0) recorder.add(row, monitor, ms);
      });
    }
  }
}

/**
 * How long the guest stood still. What QEMU tells as its downtime ends when its state is sent, its events begin
 * when its vCPUs have stopped: neither is all of it, so the longer one counts.
 */
async function sent(guest: CopiedGuest, receiving: Receiving): Promise<number> {
  const { address } = receiving;
  if (guest.monitor === "denovisor") {
    const allowedPauseMs = ALLOWED_PAUSE_MS;
    const request = { op: "send", socket: address, allowedPauseMs, force: true };
    return (await guest.ask(request)).pauseMs;
  }
  using here = await guest.qmp();
  await here.command("migrate-set-capabilities", {
    capabilities: [{ capability: "auto-converge", state: true }],
  });
  await here.command("migrate-set-parameters", {
    "downtime-limit": ALLOWED_PAUSE_MS,
    "max-bandwidth": 2 ** 40,
  });
  await here.command("migrate", { uri: address });
  const { downtime } = await here.migrated();
  const resumedAt = await receiving.resumedAt?.();
  const told = Number(downtime);
  return resumedAt === undefined ? told : Math.max(told, resumedAt - here.cameAt("STOP"));
}
