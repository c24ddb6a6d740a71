/**
 * A guest that goes on in another VMM of the same host, as when the VMM is upgraded: how long it stands
 * still. What the VMM tells, of Linux and of a guest that looks at its clock all the time; and what that
 * guest has seen of it. QEMU has nothing of the kind.
 *
 * @module
 */
import { carryOut, CopiedGuest, LOCAL_LOADS } from "./copied_guest.ts";
import type { BenchJob } from "./job.ts";
import type { Recorder } from "./recorder.ts";
import { WaitingVmm } from "./waiting_vmm.ts";
import { WatchingGuest } from "./watching_guest.ts";

const SHAPE = { memoryMiB: 512, filledMiB: 128 };
const ROW = { unit: "ms", better: "lower", noPeer: true } as const;

export async function upgrade(job: BenchJob, recorder: Recorder): Promise<void> {
  await watching(job, recorder);
  for (const load of LOCAL_LOADS) {
    const name = `upgrade: the guest's pause, ${load}`;
    await recorder.attempt(name, async () => {
      await using guest = await CopiedGuest.start("denovisor", { ...SHAPE, load }, job);
      await using its = new Vmms(guest.socket);
      for (let round = 0; round <= job.rounds; round++) {
        const ms = await its.upgrade(job);
        if (round > 0) recorder.add({ ...ROW, name }, "denovisor", ms);
      }
    });
  }
}

async function watching(job: BenchJob, recorder: Recorder): Promise<void> {
  const name = "upgrade: the pause of a guest that looks at its clock";
  await recorder.attempt(name, async () => {
    await using first = await WaitingVmm.start(job.vmm);
    await first.run({ cpus: 1, memoryMiB: 128, kernel: job.files.watchingKernel });
    await using its = new Vmms(first.socket);
    const guest = await WatchingGuest.at(first.socket);
    for (let round = 0; round <= job.rounds; round++) {
      await guest.longestMs(its.socket);
      const ms = await its.upgrade(job);
      const seen = await guest.longestMs(its.socket);
      if (round === 0) continue;
      recorder.add({ ...ROW, name: `${name}, as told` }, "denovisor", ms);
      recorder.add({ ...ROW, name: `${name}, as it sees it` }, "denovisor", seen);
    }
  });
}

/** The VMMs that a guest goes through. */
class Vmms implements AsyncDisposable {
  /** Where the one that has the guest now is asked. */
  socket: string;
  #vmm: WaitingVmm | undefined;

  constructor(first: string) {
    this.socket = first;
  }

  /** The milliseconds for which the guest stood still. */
  async upgrade(job: BenchJob): Promise<number> {
    const next = await WaitingVmm.start(job.vmm);
    try {
      const request = { op: "upgrade", socket: await next.expect("upgrade") };
      const { pauseMs } = await carryOut(this.socket, request);
      await next.runs();
      await this.#vmm?.[Symbol.asyncDispose]();
      this.#vmm = next;
      this.socket = next.socket;
      return pauseMs;
    } catch (error) {
      await next[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#vmm?.[Symbol.asyncDispose]();
  }
}
