/**
 * A thread that takes kicks, for the test of them.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { blockKick, drainKick, threadId } from "../threads.ts";

self.onmessage = ({ data }: MessageEvent<"start" | "drain">) => {
  if (data === "start") {
    blockKick();
    self.postMessage(threadId());
    return;
  }
  self.postMessage([drainKick(), drainKick()]);
  self.close();
};
