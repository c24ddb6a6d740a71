/**
 * What a guest's devices hold open, for another VMM of the same host that is to have the very same open
 * files: a tap lets nobody else in, a disk stays locked with them, and who connects to a socket is heard by
 * either. What the kernel serves for one process alone is not among them: the other opens its own.
 *
 * @module
 */
import type { DeviceSpec } from "../device_specs.ts";

/** What one device holds. */
export interface HeldDevice {
  /** A disk's file and, where it goes past the page cache, that again; a tap's queues; listening sockets. */
  fds: readonly number[];
  /** Of a tap: asking it would change it, and it is in use. */
  segmentsUdp?: boolean;
}

/** By the devices' names. */
export type Held = ReadonlyMap<string, HeldDevice>;

/** As it is said: how many descriptors are whose, in the order in which they come. */
export interface HeldName {
  name: string;
  count: number;
  segmentsUdp?: boolean;
}

/** What devices hold. */
export function heldBy(devices: readonly DeviceSpec[]): Map<string, HeldDevice> {
  return new Map(
    devices.map((spec) => [spec.options.name, { fds: filesOf(spec), ...factsOf(spec) }] as const)
      .filter(([, { fds }]) => fds.length > 0),
  );
}

function filesOf(spec: DeviceSpec): number[] {
  switch (spec.kind) {
    case "block": {
      const { fd, direct } = spec.options.disk;
      return direct === undefined ? [fd] : [fd, direct.fd];
    }
    case "net":
      return [...spec.options.taps];
    case "console": {
      const { console, ports } = spec.options;
      return [...(console ? [console] : []), ...ports].map(({ listener }) => listener);
    }
    case "vsock":
      return "listener" in spec.options ? [spec.options.listener] : [];
    default:
      return [];
  }
}

function factsOf(spec: DeviceSpec): Pick<HeldDevice, "segmentsUdp"> {
  return spec.kind === "net" ? { segmentsUdp: spec.options.segmentsUdp ?? false } : {};
}

export function namesOf(held: Held): HeldName[] {
  return [...held].map(([name, { fds, ...facts }]) => ({ name, count: fds.length, ...facts }));
}

/** Gives the descriptors that came to those whose they are. */
export function heldFrom(names: readonly HeldName[], fds: readonly number[]): Held {
  let at = 0;
  return new Map(
    names.map(({ name, count, ...facts }) => {
      return [name, { fds: fds.slice(at, at += count), ...facts }];
    }),
  );
}
