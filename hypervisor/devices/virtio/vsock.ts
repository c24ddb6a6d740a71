/**
 * The socket device (virtio 1.2, section 5.10): streams between programs of the guest and of the host.
 *
 * @module
 */
import { drain } from "../../sys/eventfd.ts";
import { vhostFeatures } from "../../sys/vhost.ts";
import { renewVhostVsock } from "../../sys/vhost_vsock.ts";
import { ConfigSpace } from "./config_space.ts";
import {
  type DeviceHost,
  type DeviceSetup,
  VIRTIO_F,
  VIRTIO_ID,
  type VirtioDevice,
} from "./device.ts";
import { type QueueState, VirtQueue } from "./queue.ts";
import { VsockEvents } from "./vsock_events.ts";
import { EVENT, RX, TX, VSOCK_QUEUE_SIZE, type VsockBackend } from "./vsock_protocol.ts";
import { UserVsock } from "./vsock_user.ts";
import { VhostVsock, type VhostVsockOptions } from "./vsock_vhost.ts";

/** Where the other ends of the guest's streams are. */
export type VsockOptions =
  & {
    /** Unique within the guest. */
    name: string;
    /** The guest's address. */
    cid: number;
  }
  & (
    | {
      /** Listens for programs of the host at `path`. */
      listener: number;
      path: string;
    }
    | {
      /** From `openVhostVsock`: AF_VSOCK sockets of the host. The address may still be another VMM's. */
      vhost: number;
    }
  );

/** What the host's kernel does for a device with a `vhost`. */
export interface VsockKernel {
  features(vhost: number): ReadonlySet<number>;
  /** Serves the data queues. */
  serve(host: DeviceHost, options: VhostVsockOptions): VsockBackend;
  /** Frees the guest's address, and all else that the descriptor stands for. */
  renew(vhost: number): void;
}

const KERNEL: VsockKernel = {
  features: vhostFeatures,
  serve: (host, options) => new VhostVsock(host, options),
  renew: renewVhostVsock,
};

export class VsockDevice implements VirtioDevice {
  readonly name: string;
  readonly id = VIRTIO_ID.vsock;
  readonly features: readonly number[];
  readonly offloaded: boolean;
  readonly queueSizes = [VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE];
  readonly #options: VsockOptions;
  readonly #kernel: VsockKernel;
  readonly #config: ConfigSpace;
  #backend: VsockBackend | undefined;
  /** Absent where the driver did not enable its queue. */
  #events: VsockEvents | undefined;
  #hasLetGo = false;
  /** Stops looking for buffers for events, where nobody else does. */
  #unwatch = () => {};

  /** Another `kernel` is for tests. */
  constructor(options: VsockOptions, kernel = KERNEL) {
    this.name = options.name;
    this.#options = options;
    this.#kernel = kernel;
    this.offloaded = "vhost" in options;
    const known = "vhost" in options ? kernel.features(options.vhost) : undefined;
    const rings = [VIRTIO_F.INDIRECT_DESC, VIRTIO_F.EVENT_IDX];
    this.features = rings.filter((bit) => known?.has(bit) ?? true);
    // Section 5.10.4: guest_cid, 64 bits of which the upper half is reserved.
    this.#config = new ConfigSpace(new Uint8Array(new Uint32Array([options.cid, 0]).buffer));
  }

  readConfig(offset: number, size: number): number {
    return this.#config.read(offset, size);
  }

  writeConfig(): void {}

  activate(host: DeviceHost, setup: DeviceSetup): void {
    const [rx, tx] = [setup.queues[RX], setup.queues[TX]];
    if (!rx || !tx) {
      throw new RangeError(`Cannot activate ${this.name}: its data queues have to be enabled`);
    }
    const { features } = setup;
    const queues = [rx, tx];
    this.#backend = "vhost" in this.#options
      ? this.#kernel.serve(host, { ...this.#options, queues, features })
      : new UserVsock(host, { ...this.#options, queues, features });
    const events = setup.queues[EVENT];
    if (!events) return;
    this.#events = new VsockEvents(
      host,
      new VirtQueue(host.memory, events, {
        maxSize: VSOCK_QUEUE_SIZE,
        eventIdx: features.has(VIRTIO_F.EVENT_IDX),
        indirect: features.has(VIRTIO_F.INDIRECT_DESC),
        onViolation: (reason) => host.needsReset(reason),
      }),
    );
    if (this.offloaded) {
      // Of its queues vhost serves the other two.
      const fd = host.queueNotifyFd(EVENT);
      host.watch(fd, () => void (drain(fd) && this.#events?.notify()));
      this.#unwatch = () => host.unwatch(fd);
    }
    // Streams have their other ends in another process, or nowhere.
    if (setup.restored) this.#events.reset();
  }

  /**
   * The kernel's vhost-vsock offers a log and keeps none of what it writes to buffers: it asks vhost for
   * descriptors without a place to note them.
   */
  logWrites(on: boolean): void {
    if (!on || !("vhost" in this.#options)) return;
    throw new Error(
      `Cannot log what ${this.name} writes: vhost-vsock keeps no log; use the backend "user"`,
    );
  }

  notify(index: number): void {
    if (index === EVENT) this.#events?.notify();
    else this.#backend?.notify(index);
  }

  report(): Record<string, unknown> {
    return this.#backend?.report() ?? { cid: this.#options.cid };
  }

  freeze(): readonly (QueueState | null)[] {
    return [...this.#backend!.freeze(), this.#events?.state ?? null];
  }

  thaw(): void {
    const hadLetGo = this.#hasLetGo;
    this.#hasLetGo = false;
    this.#backend?.thaw?.();
    if (hadLetGo) this.#events?.reset();
  }

  /** Also where no driver uses it: the address is the descriptor's. The streams are lost either way. */
  letGo(): void {
    if (!("vhost" in this.#options)) return;
    this.#kernel.renew(this.#options.vhost);
    this.#backend?.letGo?.();
    this.#hasLetGo = this.#backend !== undefined;
  }

  reset(): void {
    this.#unwatch();
    this.#unwatch = () => {};
    this.#backend?.stop();
    this.#backend = this.#events = undefined;
  }
}
