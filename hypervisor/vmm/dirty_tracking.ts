/**
 * Which pages of a guest's memory have changed, whoever changed them: its vCPUs (KVM's log), the VMM and
 * what the kernel does for it (marked where chains return), vhost (its own log).
 *
 * The main thread switches tracking on and off; from its {@linkcode TrackingSpec} any thread makes a
 * {@linkcode ChangeLog}, which takes what has changed. A page is taken by whoever asks first, so there is
 * one who asks; pages that it has no use for after all are given back.
 *
 * @module
 */
import type { VirtioDevice } from "../devices/virtio/device.ts";
import { Vm } from "../kvm/vm.ts";
import { DirtyPages } from "../machine/dirty_pages.ts";
import type { GuestMemory, RamRegion } from "../machine/memory.ts";
import { SlotLog, SlotLogSwitch } from "../machine/slot_log.ts";
import { mapVhostLog, unmapVhostLog, VhostLog, type VhostLogSpec } from "../machine/vhost_log.ts";

/** What a thread needs to take changes; passes by structured clone. */
export interface TrackingSpec {
  vmFd: number;
  regions: readonly RamRegion[];
  /** Whether bits of KVM's log are cleared by hand. */
  manual: boolean;
  /** What the VMM writes, as the set's buffer. */
  changes: SharedArrayBuffer;
  vhostLog: VhostLogSpec;
}

/** Takes what has changed, in the thread that makes it. */
export class ChangeLog {
  readonly #slots: SlotLog;
  readonly #changes: DirtyPages;
  readonly #vhost: VhostLog;

  constructor(spec: TrackingSpec) {
    this.#slots = new SlotLog(new Vm(spec.vmFd), spec);
    this.#changes = new DirtyPages(spec.changes);
    this.#vhost = new VhostLog(spec.vhostLog);
  }

  /**
   * Adds all pages that changed since they were last asked for, and forgets them; to be read after this.
   * What changes meanwhile is told now, or next time, or both. The first time it may be all pages.
   */
  collect(into: DirtyPages): void {
    this.#slots.collect(into);
    this.#vhost.collect(into);
    this.#changes.moveTo(into);
  }

  /** Forgets all changes until now, for whoever reads all of memory after this. */
  forget(): void {
    this.#slots.forget();
    this.#vhost.forget();
    this.#changes.clear();
  }

  /** Counts pages as changed that were taken for nothing. */
  giveBack(pages: DirtyPages): void {
    this.#changes.merge(pages);
  }

  /** Frees what this thread has for it. */
  close(): void {
    this.#slots.free();
  }
}

export interface TrackedGuest {
  memory: GuestMemory;
  vmFd: number;
  /** Those that there are at the moment. */
  devices(): Iterable<VirtioDevice>;
}

export class DirtyTracking {
  readonly #guest: TrackedGuest;
  readonly #switch: SlotLogSwitch;
  #spec: TrackingSpec | undefined;
  #log: ChangeLog | undefined;

  constructor(guest: TrackedGuest) {
    this.#guest = guest;
    const { memory } = guest;
    this.#switch = new SlotLogSwitch(new Vm(guest.vmFd), {
      regions: memory.slots,
      address: memory.address,
    });
  }

  /** For other threads; undefined while nothing is tracked. */
  get spec(): TrackingSpec | undefined {
    return this.#spec;
  }

  /**
   * From the return on, no change is missed. Throws where a device's changes cannot be tracked, and then
   * nothing is.
   */
  start(): TrackingSpec {
    if (this.#spec !== undefined) throw new Error("Cannot track changes: they are tracked already");
    const { memory, vmFd } = this.#guest;
    const regions = memory.slots.map(({ guest, offset, length }) => ({ guest, offset, length }));
    const vhostLog = mapVhostLog(regions);
    memory.changes = DirtyPages.of(memory.bytes.length);
    memory.vhostLog = vhostLog.address;
    try {
      for (const device of this.#guest.devices()) device.logWrites?.(true);
      const manual = this.#switch.start();
      this.#spec = { vmFd, regions, manual, changes: memory.changes.buffer, vhostLog };
    } catch (error) {
      this.#unmark(vhostLog);
      throw error;
    }
    return this.#spec;
  }

  /** What {@linkcode ChangeLog.collect} says, in this thread. */
  collect(into: DirtyPages): void {
    if (this.#spec === undefined) throw new Error("Cannot collect changes: they are not tracked");
    this.#log ??= new ChangeLog(this.#spec);
    this.#log.collect(into);
  }

  /** Once no other thread takes changes any more. */
  stop(): void {
    const spec = this.#spec;
    if (spec === undefined) return;
    this.#spec = undefined;
    this.#log?.close();
    this.#log = undefined;
    this.#switch.stop();
    this.#unmark(spec.vhostLog);
  }

  #unmark(vhostLog: VhostLogSpec): void {
    const { memory } = this.#guest;
    memory.changes = undefined;
    memory.vhostLog = undefined;
    // Before the log is gone, for until then vhost may write to it.
    for (const device of this.#guest.devices()) device.logWrites?.(false);
    unmapVhostLog(vhostLog);
  }
}
