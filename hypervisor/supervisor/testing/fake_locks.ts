/**
 * What a VMM that pretends has locked: its guest's disks, as a VMM does.
 *
 * @module
 */
import type { DiskConfig, GuestConfig, PlugConfig } from "../../vmm/control.ts";
import { close, O_RDONLY, O_RDWR, open } from "../../sys/files.ts";
import { lockWithin, unlock } from "../../sys/flock.ts";

/** As long as a VMM waits for one who only looks. */
const LOOKED_AT_MS = 500;

export class FakeLocks {
  readonly #disks: { config: DiskConfig; fd: number; device: string | null }[] = [];
  #isHeld = false;

  /** Opens what the guest has; nothing is locked yet. */
  constructor({ disks, plugged = {} }: GuestConfig & { plugged?: Record<string, PlugConfig> }) {
    disks.forEach((disk) => this.#open(disk, null));
    for (const [device, it] of Object.entries(plugged)) {
      if ("disk" in it) this.#open(it.disk, device);
    }
  }

  #open(config: DiskConfig, device: string | null) {
    const fd = open(config.path, config.readonly ? O_RDONLY : O_RDWR);
    this.#disks.push({ config, fd, device });
    return fd;
  }

  /** Locks all of it; throws where another has one. It may be said twice. */
  take({ withinMs = LOOKED_AT_MS } = {}): void {
    for (const disk of this.#disks) this.#take(disk, withinMs);
    this.#isHeld = true;
  }

  #take(
    { config: { path, readonly = false }, fd }: { config: DiskConfig; fd: number },
    ms: number,
  ) {
    if (lockWithin(fd, { ms, shared: readonly })) return;
    throw new Error(`Cannot use disk "${path}": another guest uses it`);
  }

  /** The same for one that is plugged in. */
  plug(device: string, config: DiskConfig): void {
    this.#take({ config, fd: this.#open(config, device) }, LOOKED_AT_MS);
  }

  unplug(device: string): void {
    const at = this.#disks.findIndex((it) => it.device === device);
    if (at >= 0) close(this.#disks.splice(at, 1)[0].fd);
  }

  /** Lets go of all: the guest is given away. */
  release(): void {
    this.#isHeld = false;
    for (const { fd } of this.#disks) unlock(fd);
  }

  /** Throws where the guest has nothing to write to. */
  check(): void {
    if (!this.#isHeld) throw new Error("It runs, and has not locked its disks");
  }
}
