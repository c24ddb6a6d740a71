/**
 * What a virtio device is to its transport.
 *
 * Each vCPU worker and the main loop constructs the same device objects over the same arena. The
 * vCPU workers call {@linkcode VirtioDevice.readConfig} and `writeConfig` under the bus lock; the
 * main loop calls `activate`, `notify` and `reset`. What both must see lies in the arena.
 *
 * @module
 */
import type { GuestMemory } from "../../machine/memory.ts";
import type { CopiedDisk } from "./disk_changes.ts";
import type { QueueSetup, QueueState } from "./queue.ts";

/** virtio 1.2, section 5 */
export const VIRTIO_ID = {
  net: 1,
  block: 2,
  console: 3,
  rng: 4,
  balloon: 5,
  vsock: 19,
  mem: 24,
} as const;

/** virtio 1.2, section 6: bits as numbers of `2 ** bit` would not fit 32 bits, so bit numbers. */
export const VIRTIO_F = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  ACCESS_PLATFORM: 33,
  RING_PACKED: 34,
} as const;

/** How the main loop gets at what surrounds a device. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  /** Calls `ready` from the main loop when `fd` is readable, level-triggered, until {@linkcode unwatch}. */
  watch(fd: number, ready: () => void): void;
  /** Whether a watched descriptor is watched until it can be read (at first, only that) or written to. */
  want(fd: number, interest: { read: boolean; write: boolean }): void;
  unwatch(fd: number): void;
  /** Raises queue `index`'s interrupt (its MSI-X vector's eventfd). */
  interruptQueue(index: number): void;
  /** The eventfd that raises queue `index`'s interrupt, for vhost's CALL; -1 if it has no vector. */
  queueInterruptFd(index: number): number;
  /** The eventfd that the guest's notification of queue `index` signals, for vhost's KICK. */
  queueNotifyFd(index: number): number;
  /** virtio 1.2, section 2.1.2: the driver broke the protocol; DEVICE_NEEDS_RESET, nothing more is served. */
  needsReset(reason: string): void;
  /** Tells the driver that the device's configuration has changed (virtio 1.2, section 2.5). */
  configChanged(): void;
  /**
   * Calls `action` once from the main loop, `ms` milliseconds from now; the function that is returned
   * cancels it. For what waits, such as a rate limit: an idle device has no timer.
   */
  after(ms: number, action: () => void): () => void;
  /**
   * Stops the guest's CPUs until somebody resumes it, and tells the host why. For what the guest is
   * not to blame for and must not notice, such as a full host disk.
   */
  pause(reason: string): void;
  /** What {@linkcode pause} was for is over: the guest goes on, unless it was stopped for another reason. */
  resume(reason: string): void;
}

/** What a driver has set up by DRIVER_OK. */
export interface DeviceSetup {
  /** Null for a queue that the driver did not enable. */
  queues: readonly (QueueSetup | null)[];
  /** Bit numbers that it accepted. */
  features: ReadonlySet<number>;
  /** The device goes on from where it was when its machine was saved, in another process. */
  restored?: boolean;
}

export interface VirtioDevice {
  /** Unique within the guest, such as "block0"; names its arena section. */
  readonly name: string;
  /** One of {@linkcode VIRTIO_ID}. */
  readonly id: number;
  /** Bit numbers that the device offers besides VERSION_1, which the transport adds. */
  readonly features: readonly number[];
  /** The largest size of each queue, a power of two, at most 32768; also how many queues there are. */
  readonly queueSizes: readonly number[];
  /** Once, by the thread that sets the machine up: registers as the driver is to find them first. */
  powerOn?(): void;
  /** In its place over registers that were saved: throws where these cannot be this device's. */
  restore?(): void;
  /** Device configuration (BAR + 0x4000); `size` is 1, 2 or 4. Out of range reads as 0. */
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /**
   * True when a kernel back-end (vhost) takes the notifications, or the device watches them itself: the
   * main loop then leaves them alone.
   */
  readonly offloaded?: boolean;
  /** By the main loop, at DRIVER_OK: the configuration is frozen until `reset`. */
  activate(host: DeviceHost, setup: DeviceSetup): void;
  /** By the main loop: the guest notified queue `index`; drain it. */
  notify(index: number): void;
  /**
   * By the main loop, at any time after the start: changes what can be changed while the guest runs
   * (a size, a limit, a link); throws a TypeError or RangeError that names what is wrong.
   */
  change?(change: Readonly<Record<string, unknown>>): void;
  /** By the main loop: what the device tells of itself, such as counters; plain JSON. */
  report?(): Record<string, unknown>;
  /**
   * By the main loop, for devices that a kernel back-end may serve: `memory.vhostLog` has come (`on`) or
   * gone, and from now on what the back-end writes goes there, or no longer does. Throws where it cannot.
   * What comes into use later looks for itself. Other devices' writes are seen where chains return.
   */
  logWrites?(on: boolean): void;
  /** By the main loop: the guest goes on after {@linkcode DeviceHost.pause}. */
  resumed?(): void;
  /**
   * By the main loop, of an active device whose guest stands still: what can be finished is finished,
   * and nothing touches guest memory until {@linkcode thaw}. How far each queue has got, null for one
   * that is not in use: of chains that are kept here the driver sees nothing in a machine that is
   * restored from this, and they are taken once more. What that machine has to know beside lies in the
   * arena when this returns. The host calls none of what it was given meanwhile. Throws where it cannot
   * be saved now, and is as it was. Without it, a device cannot be saved.
   */
  freeze?(): readonly (QueueState | null)[];
  /** The files that it writes to, for whoever has them brought to the disk or lets others have them. */
  readonly files?: readonly number[];
  /** The disk that it is. */
  readonly disk?: CopiedDisk;
  /**
   * By the main loop, more than once: the guest goes on here, and did so elsewhere before. Its neighbours
   * are told; `first` is the first time.
   */
  announce?(options: { first: boolean }): void;
  /** By the main loop: goes on after {@linkcode freeze}, as if nothing had been. */
  thaw?(): void;
  /**
   * By the main loop, of a device whose guest stands still: another VMM of this host is about to go on with
   * it, so what the kernel lets only one have is free when this returns. Should the other not go on, this
   * one does, by {@linkcode thaw}, with what that has cost. Throws where it cannot, and is as it was.
   */
  letGo?(): void;
  /**
   * By the main loop: what {@linkcode change} has set and is not in the arena, as it would be set again
   * in a machine that is restored.
   */
  settings?(): Record<string, unknown>;
  /** By the main loop: stop, let nothing in flight touch guest memory afterwards, forget. */
  reset(): void;
}
