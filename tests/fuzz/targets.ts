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
import { checkNetCase, netCase } from "../../hypervisor/devices/virtio/testing/net_case.ts";
import { hasTun } from "../../hypervisor/devices/virtio/testing/net_rig.ts";
import {
  checkNoiseCase,
  checkQueueCase,
  noiseCase,
  queueCase,
} from "../../hypervisor/devices/virtio/testing/queue_case.ts";
import {
  checkVsockCase,
  checkVsockStream,
  vsockCase,
  vsockStreamCase,
} from "../../hypervisor/devices/virtio/testing/vsock_case.ts";
import {
  checkRootPortCase,
  rootPortCase,
} from "../../hypervisor/machine/pci/testing/root_port_case.ts";
import {
  checkDamageCase,
  checkForgeryCase,
  damageCase,
  forgeryCase,
} from "../../hypervisor/vmm/snapshot/testing/state_case.ts";
import { checkStreamCase, streamCase } from "../../hypervisor/vmm/move/testing/stream_case.ts";
import { checkDeviceCase, type DeviceCase, deviceCase } from "./device_case.ts";
import type { DeviceKind } from "./device_kind.ts";
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
import { STREAM_KINDS } from "./stream_kinds.ts";

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

/** A random input, and what must hold for it. */
interface Property<T> {
  arbitrary: fc.Arbitrary<T>;
  check(value: T): void;
}

function property<T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => void): Property<T> {
  return { arbitrary, check };
}

/** A device behind its transport, driven by its registers. */
function device(kind: DeviceKind): Property<DeviceCase> {
  return property(deviceCase(kind), (steps) => checkDeviceCase(kind, steps));
}

/** Takes turns at its properties until the time is up; that it was is no failure. */
// deno-lint-ignore no-explicit-any -- each property has an input type of its own
function target(...properties: Property<any>[]): Target {
  const arbitrary = fc.oneof(
    ...properties.map((one, of) => one.arbitrary.map((value) => ({ of, value }))),
  );
  return ({ seed, path, milliseconds, next }) =>
    fc.check(
      fc.property(arbitrary, ({ of, value }) => {
        next();
        properties[of].check(value);
      }),
      { seed, path, numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: milliseconds },
    );
}

export const TARGETS: Readonly<Record<string, Target>> = {
  queue: target(property(queueCase, checkQueueCase), property(noiseCase, checkNoiseCase)),
  pci: target(property(pciCase, checkPciCase), property(rootPortCase, checkRootPortCase)),
  msix: target(property(msixCase, checkMsixCase)),
  common: target(property(commonCase, checkCommonCase)),
  ports: target(property(portCase, checkPortCase)),
  block: target(
    property(blockCase, (one) => checkBlockCase(one, "io_uring")),
    property(blockCase, (one) => checkBlockCase(one, "sync")),
    device(KINDS.block),
    device(KINDS.blockSync),
  ),
  net: target(property(netCase, checkNetCase), device(STREAM_KINDS.net)),
  rng: target(device(KINDS.rng)),
  balloon: target(property(balloonCase, checkBalloonCase), device(KINDS.balloon)),
  mem: target(property(memCase, checkMemCase), device(KINDS.mem)),
  console: target(
    property(consoleCase, checkConsoleCase),
    property(consoleStreamCase, checkConsoleStream),
    device(KINDS.console),
  ),
  vsock: target(
    property(vsockCase, checkVsockCase),
    property(vsockStreamCase, checkVsockStream),
    device(STREAM_KINDS.vsock),
  ),
  bzimage: target(property(bzImageCase, checkKernelCase)),
  elf: target(property(elfCase, checkKernelCase)),
  state: target(property(damageCase, checkDamageCase), property(forgeryCase, checkForgeryCase)),
  stream: target(property(streamCase, checkStreamCase)),
  config: target(property(configCase, checkConfigCase), property(lineCase, checkLineCase)),
};

/** Why a target cannot be had on this machine; undefined where it can. */
export function missing(name: string): string | undefined {
  return name === "net" && !hasTun() ? "there is no /dev/net/tun" : undefined;
}
