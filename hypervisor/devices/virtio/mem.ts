/**
 * The memory device (virtio 1.2, section 5.15): the guest's memory grows and shrinks while it runs, in
 * blocks of a region above RAM.
 *
 * The host asks for a size, the driver plugs and unplugs blocks until it has it. A block that is not
 * plugged is absent: the guest's CPUs, vhost and io_uring fault on it, and no request may name it.
 *
 * @module
 */
import type { Arena } from "../../machine/arena.ts";
import type { HotplugSpec } from "../../machine/hotplug.ts";
import { signal } from "../../sys/eventfd.ts";
import { struct, type View } from "../../sys/struct.ts";
import { ConfigSpace } from "./config_space.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type QueueState, VirtQueue } from "./queue.ts";

/** Section 5.15.3. */
export const VIRTIO_MEM_F = { ACPI_PXM: 0, UNPLUGGED_INACCESSIBLE: 1 } as const;

/** Section 5.15.4. */
export const MemConfig = struct("virtio_mem_config", {
  block_size: "n64",
  node_id: "u16",
  padding: ["u8", 6],
  addr: "n64",
  region_size: "n64",
  usable_region_size: "n64",
  plugged_size: "n64",
  requested_size: "n64",
});

/** Section 5.15.6. */
export const MemRequest = struct("virtio_mem_req", {
  type: "u16",
  padding: ["u16", 3],
  addr: "n64",
  nb_blocks: "u16",
  padding2: ["u16", 3],
});
export const MemResponse = struct("virtio_mem_resp", {
  type: "u16",
  padding: ["u16", 3],
  state: "u16",
});

export const VIRTIO_MEM_REQ = { PLUG: 0, UNPLUG: 1, UNPLUG_ALL: 2, STATE: 3 } as const;
export const VIRTIO_MEM_RESP = { ACK: 0, NACK: 1, BUSY: 2, ERROR: 3 } as const;
export const VIRTIO_MEM_STATE = { PLUGGED: 0, UNPLUGGED: 1, MIXED: 2 } as const;

const QUEUE_SIZE = 64;
/** Requests after which other devices get their turn. */
const BATCH = 16;
const MiB = 2 ** 20;

export interface MemOptions {
  /** Unique within the guest. */
  name: string;
  region: HotplugSpec;
  /** What the guest is asked to plug from the start. */
  requestedMiB?: number;
  /** The proximity domain that the memory belongs to, where the ACPI tables have any. */
  node?: number;
}

export class MemDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.mem;
  readonly features: readonly number[];
  readonly queueSizes = [QUEUE_SIZE];
  readonly #options: MemOptions;
  readonly #registers: View<typeof MemConfig.fields>;
  readonly #config: ConfigSpace;
  readonly #request = MemRequest.create();
  readonly #response = MemResponse.create();
  #host: DeviceHost | undefined;
  #queue: VirtQueue | undefined;
  #refused = 0;

  constructor(arena: Arena, options: MemOptions) {
    this.name = options.name;
    this.#options = options;
    const F = VIRTIO_MEM_F;
    this.features = [
      ...(options.node === undefined ? [] : [F.ACPI_PXM]),
      F.UNPLUGGED_INACCESSIBLE,
      VIRTIO_F.INDIRECT_DESC,
      VIRTIO_F.EVENT_IDX,
    ];
    this.#registers = arena.place(`${options.name}.config`, MemConfig);
    this.#config = new ConfigSpace(this.#registers.$bytes);
  }

  powerOn(): void {
    const { region, requestedMiB = 0, node = 0 } = this.#options;
    Object.assign(this.#registers, {
      block_size: region.blockBytes,
      node_id: node,
      addr: region.guest,
      region_size: region.length,
      usable_region_size: region.length,
      plugged_size: 0,
      requested_size: requestedMiB * MiB,
    });
  }

  /** How much of it is there is what the region says. */
  restore(): void {
    const { region } = this.#options;
    const { block_size, addr, region_size } = this.#registers;
    if (
      block_size !== region.blockBytes || addr !== region.guest || region_size !== region.length
    ) {
      throw new RangeError(`Cannot restore ${this.name}: its memory lies elsewhere`);
    }
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  /** Section 5.15.4: nothing in it is the driver's to write. */
  writeConfig(): void {}

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const [queue] = setup.queues;
    if (!queue) throw new RangeError(`Cannot activate ${this.name}: its queue is not enabled`);
    // Section 5.15.5: a driver that reads memory before it plugs it would be stopped by its first fault.
    if (!setup.features.has(VIRTIO_MEM_F.UNPLUGGED_INACCESSIBLE)) {
      throw new RangeError(
        `Cannot activate ${this.name}: its driver does not know that unplugged memory is inaccessible`,
      );
    }
    this.#host = host;
    this.#queue = new VirtQueue(host.memory, queue, {
      maxSize: QUEUE_SIZE,
      eventIdx: setup.features.has(VIRTIO_F.EVENT_IDX),
      indirect: setup.features.has(VIRTIO_F.INDIRECT_DESC),
      onViolation: (reason) => host.needsReset(reason),
    });
  }

  notify(): void {
    const queue = this.#queue;
    if (queue === undefined || queue.broken) return;
    const host = this.#host!;
    const { index } = queue.rings;
    let budget = BATCH;
    queue.disableNotifications();
    do {
      for (let head = queue.pop(); head >= 0; head = queue.pop()) {
        queue.push(head, this.#serve(queue));
        if (--budget === 0) {
          signal(host.queueNotifyFd(index));
          if (queue.publish()) host.interruptQueue(index);
          return;
        }
      }
    } while (queue.enableNotifications());
    if (!queue.broken && queue.publish()) host.interruptQueue(index);
  }

  /** Answers the request that `queue` last popped; how many bytes the answer has. */
  #serve(queue: VirtQueue): number {
    const { bytes } = this.#host!.memory;
    const request = this.#request.$bytes;
    if (queue.readableBytes < request.length || queue.writableBytes < MemResponse.size) {
      this.#refused++;
      return 0;
    }
    // Once, so that what is carried out is what was checked.
    gather(bytes, queue, request);
    this.#response.state = 0;
    this.#response.type = this.#carryOut();
    if (this.#response.type === VIRTIO_MEM_RESP.ERROR) this.#refused++;
    scatter(bytes, queue, this.#response.$bytes);
    return MemResponse.size;
  }

  #carryOut(): number {
    const { type, addr, nb_blocks: count } = this.#request;
    if (type === VIRTIO_MEM_REQ.UNPLUG_ALL) return this.#unplugAll();
    const { region } = this.#options;
    const start = addr - region.guest;
    const length = count * region.blockBytes;
    const isWithin = count > 0 && start >= 0 && start % region.blockBytes === 0 &&
      start + length <= region.length;
    if (!isWithin) return VIRTIO_MEM_RESP.ERROR;
    const first = start / region.blockBytes;
    switch (type) {
      case VIRTIO_MEM_REQ.PLUG:
        return this.#plug(first, count);
      case VIRTIO_MEM_REQ.UNPLUG:
        return this.#unplug(first, count);
      case VIRTIO_MEM_REQ.STATE: {
        const plugged = this.#plugged(first, count);
        const { PLUGGED, UNPLUGGED, MIXED } = VIRTIO_MEM_STATE;
        this.#response.state = plugged === count ? PLUGGED : plugged === 0 ? UNPLUGGED : MIXED;
        return VIRTIO_MEM_RESP.ACK;
      }
      default:
        return VIRTIO_MEM_RESP.ERROR;
    }
  }

  #plugged(first: number, count: number): number {
    return this.#host!.memory.hotplug!.plugged(first, count);
  }

  #plug(first: number, count: number): number {
    const registers = this.#registers;
    const length = count * this.#options.region.blockBytes;
    if (this.#plugged(first, count) !== 0) return VIRTIO_MEM_RESP.ERROR;
    // Never more than the host asked for, whatever the driver wants.
    if (registers.plugged_size + length > registers.requested_size) return VIRTIO_MEM_RESP.NACK;
    if (!this.#host!.memory.plug(first, count)) return VIRTIO_MEM_RESP.BUSY;
    registers.plugged_size += length;
    return VIRTIO_MEM_RESP.ACK;
  }

  #unplug(first: number, count: number): number {
    if (this.#plugged(first, count) !== count) return VIRTIO_MEM_RESP.ERROR;
    const { memory } = this.#host!;
    if (!memory.unplug(first, count)) return VIRTIO_MEM_RESP.BUSY;
    this.#registers.plugged_size -= count * this.#options.region.blockBytes;
    return VIRTIO_MEM_RESP.ACK;
  }

  #unplugAll(): number {
    const { region } = this.#options;
    if (!this.#host!.memory.unplug(0, region.length / region.blockBytes)) {
      return VIRTIO_MEM_RESP.BUSY;
    }
    this.#registers.plugged_size = 0;
    return VIRTIO_MEM_RESP.ACK;
  }

  /** `{ requestedMiB }`: how much memory the guest is to have besides its RAM. */
  change(change: Readonly<Record<string, unknown>>): void {
    const { requestedMiB, ...rest } = change;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) {
      throw new TypeError(
        `Cannot change "${unknown}" of ${this.name}: only requestedMiB can be changed`,
      );
    }
    const { length, blockBytes } = this.#options.region;
    const isBlocks = typeof requestedMiB === "number" && requestedMiB >= 0 &&
      requestedMiB * MiB <= length && requestedMiB * MiB % blockBytes === 0;
    if (!isBlocks) {
      throw new RangeError(
        `Cannot change requestedMiB of ${this.name} to ${
          JSON.stringify(requestedMiB)
        }: it must be ` +
          `a multiple of ${blockBytes / MiB} from 0 to ${length / MiB}`,
      );
    }
    this.#registers.requested_size = requestedMiB * MiB;
    this.#host?.configChanged();
  }

  report(): Record<string, unknown> {
    const { region_size, plugged_size, requested_size, block_size } = this.#registers;
    return {
      requestedMiB: requested_size / MiB,
      pluggedMiB: plugged_size / MiB,
      regionMiB: region_size / MiB,
      blockMiB: block_size / MiB,
      refusedRequests: this.#refused,
    };
  }

  freeze(): readonly QueueState[] {
    return [this.#queue!.state];
  }

  /** Section 5.15.5.1: what is plugged stays so; the driver asks for the state, or unplugs all. */
  reset(): void {
    this.#queue = undefined;
    this.#host = undefined;
  }
}

/** Fills `to` from the chain's readable segments, which are long enough. */
function gather(memory: Uint8Array, queue: VirtQueue, to: Uint8Array): void {
  let done = 0;
  for (let segment = 0; done < to.length; segment++) {
    const at = queue.offsets[segment];
    const n = Math.min(queue.lengths[segment], to.length - done);
    for (let i = 0; i < n; i++) to[done + i] = memory[at + i];
    done += n;
  }
}

/** Writes `from` to the chain's writable segments, which are long enough. */
function scatter(memory: Uint8Array, queue: VirtQueue, from: Uint8Array): void {
  let done = 0;
  for (let segment = queue.readable; done < from.length; segment++) {
    const at = queue.offsets[segment];
    const n = Math.min(queue.lengths[segment], from.length - done);
    for (let i = 0; i < n; i++) memory[at + i] = from[done + i];
    done += n;
  }
}
