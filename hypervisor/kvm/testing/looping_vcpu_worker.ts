/**
 * A thread that runs a guest which never leaves by itself, and counts the kicks that get it out.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { EINTR, errno } from "../../sys/errno.ts";
import { blockKick, drainKick, threadId } from "../../sys/threads.ts";
import { Vcpu } from "../vcpu.ts";
import { VcpuRun } from "../vcpu_run.ts";

export interface LoopTask {
  fd: number;
  runSize: number;
  /** [how many kicks got it out, how many are to come, pauses on the way] */
  kicks: Int32Array;
}

self.onmessage = ({ data: { fd, runSize, kicks } }: MessageEvent<LoopTask>) => {
  const vcpu = new VcpuRun(fd, runSize);
  blockKick();
  new Vcpu(fd).unmaskSignalsInGuest();
  self.postMessage(threadId());
  let seen = 0;
  while (seen < kicks[1]) {
    // The next kick comes while this runs, or enters the guest, or is in it.
    for (let n = (seen * 7919) % 5000; n > 0; n--) Atomics.load(kicks, 2);
    if (vcpu.enter() === 0 || errno() !== EINTR) throw new Error(`The guest left: ${errno()}`);
    drainKick();
    Atomics.store(kicks, 0, ++seen);
    Atomics.notify(kicks, 0);
  }
  self.close();
};
