/**
 * What the fuzzer has to know of a kind of device.
 *
 * @module
 */
import fc from "fast-check";
import type { VirtioDevice } from "../../hypervisor/devices/virtio/device.ts";
import type { Arena } from "../../hypervisor/machine/arena.ts";
import type { GuestMemory } from "../../hypervisor/machine/memory.ts";
import { mostly } from "./arbitraries.ts";

/** How much RAM a driver uses. */
export const MEMORY_BYTES = 0x40000;

/** A chain, by what is in its readable part and how long its writable buffers are. */
export interface Request {
  queue: number;
  readable: number[][];
  writable: number[];
}

/** What the fuzzer has to know of a kind of device. */
export interface DeviceKind {
  /** Requests of the kind that its driver makes. */
  request: fc.Arbitrary<Request>;
  /** One that is answered, whatever was before. */
  good: Request;
  /** A request that is wrong stops the device, where others return it. */
  isStrict?: boolean;
  /** Memory is given back to the host: pages may become zeros without having been offered. */
  discards?: boolean;
  /** A device with RAM around it, and everything that goes with it. */
  create(): DeviceUnderFuzz;
}

/** Cuts a request's readable part in two now and then, and forgets or adds a writable buffer. */
export function spoiled(request: fc.Arbitrary<Request>): fc.Arbitrary<Request> {
  return fc.record({
    request,
    cut: fc.option(fc.integer({ min: 1, max: 20 }), { freq: 3 }),
    less: mostly(fc.constant(0), fc.integer({ min: 1, max: 20 })),
    writable: fc.option(fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 4 }), {
      freq: 15,
    }),
  }).map(({ request, cut, less, writable }) => {
    let readable = request.readable;
    if (less > 0) {
      readable = readable.map((bytes) => bytes.slice(0, Math.max(0, bytes.length - less)));
    }
    if (cut !== null) {
      readable = readable.flatMap((bytes) => [bytes.slice(0, cut), bytes.slice(cut)]);
    }
    return { queue: request.queue, readable, writable: writable ?? request.writable };
  });
}

export interface DeviceUnderFuzz extends Disposable {
  arena: Arena;
  memory: GuestMemory;
  device: VirtioDevice;
}
