/**
 * What can be fuzzed. The same properties run briefly among the unit tests.
 *
 * @module
 */
import fc from "fast-check";
import { blockCase, checkBlockCase } from "../../hypervisor/devices/virtio/testing/block_case.ts";
import {
  balloonCase,
  checkBalloonCase,
  checkMemCase,
  memCase,
} from "../../hypervisor/devices/virtio/testing/memory_case.ts";
import {
  checkConsoleCase,
  checkConsoleStream,
  consoleCase,
  consoleStreamCase,
} from "../../hypervisor/devices/virtio/testing/console_case.ts";
import {
  checkVsockCase,
  checkVsockStream,
  vsockCase,
  vsockStreamCase,
} from "../../hypervisor/devices/virtio/testing/vsock_case.ts";
import {
  checkNoiseCase,
  checkQueueCase,
  noiseCase,
  queueCase,
} from "../../hypervisor/devices/virtio/testing/queue_case.ts";
import {
  checkRootPortCase,
  rootPortCase,
} from "../../hypervisor/machine/pci/testing/root_port_case.ts";

export interface FuzzOptions {
  seed: number;
  path: string | undefined;
  numRuns: number;
  interruptAfterTimeLimit: number;
}

/** Runs until the time is up; that it was is no failure. */
function target<T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => void) {
  return (options: FuzzOptions): fc.RunDetails<[T]> =>
    fc.check(fc.property(arbitrary, check), options);
}

// deno-lint-ignore no-explicit-any -- each target has an input type of its own
export const TARGETS: Record<string, (options: FuzzOptions) => fc.RunDetails<any>> = {
  queue: target(queueCase, checkQueueCase),
  console: target(consoleCase, checkConsoleCase),
  console_stream: target(consoleStreamCase, checkConsoleStream),
  vsock: target(vsockCase, checkVsockCase),
  vsock_stream: target(vsockStreamCase, checkVsockStream),
  noise: target(noiseCase, checkNoiseCase),
  root_port: target(rootPortCase, checkRootPortCase),
  balloon: target(balloonCase, checkBalloonCase),
  mem: target(memCase, checkMemCase),
  block: target(blockCase, (one) => checkBlockCase(one, "io_uring")),
  block_sync: target(blockCase, (one) => checkBlockCase(one, "sync")),
};
