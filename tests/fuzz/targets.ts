/**
 * What can be fuzzed. Many of the same properties run briefly among the unit tests.
 *
 * @module
 */
import fc from "fast-check";
import { blockCase, checkBlockCase } from "../../hypervisor/devices/virtio/testing/block_case.ts";
import {
  checkConsoleCase,
  checkConsoleStream,
  consoleCase,
  consoleStreamCase,
} from "../../hypervisor/devices/virtio/testing/console_case.ts";
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
import { checkDeviceCase, deviceCase } from "./device_case.ts";
import { KINDS } from "./device_kinds.ts";
import {
  bzImageCase,
  checkConfigCase,
  checkKernelCase,
  checkLineCase,
  configCase,
  elfCase,
  lineCase,
} from "./parser_cases.ts";
import { checkPortCase, portCase } from "./port_cases.ts";
import {
  checkCommonCase,
  checkMsixCase,
  checkPciCase,
  commonCase,
  msixCase,
  pciCase,
} from "./register_cases.ts";

export interface FuzzOptions {
  seed: number;
  path: string | undefined;
  /** How long to go on. */
  milliseconds: number;
  /** Called before each case. */
  next(): void;
}

// deno-lint-ignore no-explicit-any -- each target has an input type of its own
export type Target = (options: FuzzOptions) => fc.RunDetails<any>;

/** Runs until the time is up; that it was is no failure. */
function target<T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => void): Target {
  return ({ seed, path, milliseconds, next }) =>
    fc.check(
      fc.property(arbitrary, (value) => {
        next();
        check(value);
      }),
      { seed, path, numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: milliseconds },
    );
}

/** A device behind its transport, driven by its registers. */
function device(kind: typeof KINDS[string]): Target {
  return target(deviceCase(kind), (steps) => checkDeviceCase(kind, steps));
}

export const TARGETS: Readonly<Record<string, Target>> = {
  // What is said of a case is exact where the driver is good, and only what must never be where not.
  queue: target(queueCase, checkQueueCase),
  console: target(consoleCase, checkConsoleCase),
  console_stream: target(consoleStreamCase, checkConsoleStream),
  vsock: target(vsockCase, checkVsockCase),
  vsock_stream: target(vsockStreamCase, checkVsockStream),
  noise: target(noiseCase, checkNoiseCase),
  pci: target(pciCase, checkPciCase),
  msix: target(msixCase, checkMsixCase),
  root_port: target(rootPortCase, checkRootPortCase),
  common: target(commonCase, checkCommonCase),
  ports: target(portCase, checkPortCase),
  block: target(blockCase, (one) => checkBlockCase(one, "io_uring")),
  block_sync: target(blockCase, (one) => checkBlockCase(one, "sync")),
  balloon: target(balloonCase, checkBalloonCase),
  mem: target(memCase, checkMemCase),
  console: target(consoleCase, checkConsoleCase),
  console_stream: target(consoleStreamCase, checkConsoleStream),
  ...Object.fromEntries(
    Object.entries(KINDS).map(([name, kind]) => [`${name}_device`, device(kind)]),
  ),
  bzimage: target(bzImageCase, checkKernelCase),
  elf: target(elfCase, checkKernelCase),
  config: target(configCase, checkConfigCase),
  control: target(lineCase, checkLineCase),
};
