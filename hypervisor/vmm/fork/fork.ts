/**
 * Makes what other guests can go on from out of a running one: its state and its RAM's content at an
 * instant, as two files in memory that are sealed.
 *
 * ```
 * pausing    vCPUs leave the guest; devices finish what they have begun
 * (instant)  all state is taken at once, as for a save
 * copying    only where RAM is a private copy by now: its content goes to a file
 * holding    until the caller says so, if it wanted that: it copies disks, say
 * (going on) the guest's RAM becomes a private copy of what is shared, and the guest runs again
 * ```
 *
 * Whatever goes wrong, and if it is cancelled, the guest goes on as before.
 *
 * @module
 */
import type { Mapping } from "../../sys/mapping.ts";
import { memfd } from "../../sys/mapping.ts";
import { close } from "../../sys/files.ts";
import { duplicate } from "../../sys/passed_descriptors.ts";
import { writeAt } from "../../sys/positioned_io.ts";
import { seal } from "../../sys/seals.ts";
import { type ForkableRam, RamBase, unmapSome, whyUnforkable } from "../../machine/ram_fork.ts";
import type { EventLoop } from "../event_loop.ts";
import type { SavableGuest } from "../snapshot/saving.ts";
import { encodeGuest, type SavedGuest, type SavedMachine } from "../snapshot/saved_guest.ts";

/** How long vCPUs may take to leave the guest, in milliseconds. */
const PAUSE_TIMEOUT_MS = 10_000;
/** What is copied between two looks at everything else, in bytes. */
const STEP_BYTES = 8 << 20;
/** What is unmapped between two looks: about a millisecond's worth of small pages. */
const UNMAP_BYTES = 16 << 20;
/** `KVM_STATE_NESTED_GUEST_MODE` of asm/kvm.h, in the first word of nested state. */
const IN_NESTED_GUEST = 1;

/** The guest as this needs it. */
export type ForkableGuest = Omit<SavableGuest, "memory" | "history" | "stay" | "slow"> & {
  readonly history: Pick<SavableGuest["history"], "next" | "forget">;
};

/** What others go on from. The descriptors are the receiver's to close. */
export interface ForkSource {
  /** As a snapshot's (format.ts). */
  stateFd: number;
  /** RAM's content, each byte where it lies in RAM's mapping. */
  memoryFd: number;
  /** How long the guest stood still, in milliseconds. */
  pausedMs: number;
  /** What had to be copied of RAM; 0 for the first fork of a guest that booted. */
  copiedBytes: number;
}

export interface ForkHost {
  /** The instant has been: disks are as they belong to it until {@linkcode Fork.go}. */
  held(): void;
  /** The guest goes on, and so can others; or `source` is what went wrong. */
  done(source: ForkSource | Error): void;
}

type Phase = "pausing" | "copying" | "holding" | "encoding" | "over";

export class Fork {
  readonly #guest: ForkableGuest;
  readonly #ram: ForkableRam;
  readonly #loop: EventLoop;
  readonly #host: ForkHost;
  readonly #cancelTimeout: () => void;
  #phase: Phase = "pausing";
  #mayGo: boolean;
  #taken: Omit<SavedGuest, "memory"> | undefined;
  #base: RamBase | undefined;
  #pausedAt = 0;

  /** Throws where the guest cannot be forked, and then nothing has been done. */
  constructor(
    guest: ForkableGuest,
    options: { ram: ForkableRam; hold?: boolean; loop: EventLoop; host: ForkHost },
  ) {
    const why = whyUnforkable(options.ram);
    if (why !== undefined) throw new Error(`Cannot fork the guest: ${why}`);
    this.#guest = guest;
    this.#ram = options.ram;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#mayGo = !(options.hold ?? false);
    this.#pausedAt = performance.now();
    guest.hold();
    this.#cancelTimeout = this.#loop.after(PAUSE_TIMEOUT_MS, () => {
      if (this.#phase === "pausing") this.#fail(new Error("Cannot fork: the vCPUs do not pause"));
    });
    // Not before the caller has what it waits on.
    this.#later(() => this.look());
  }

  /** Whether the guest stands still for it. */
  get isHolding(): boolean {
    return this.#phase === "pausing" || this.#phase === "copying" || this.#phase === "holding";
  }

  /** Whether it is over, one way or the other. */
  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** A vCPU may have left the guest. */
  look(): void {
    if (this.#phase !== "pausing" || !this.#guest.isParked) return;
    this.#cancelTimeout();
    this.#attempt(() => this.#take());
  }

  /** Lets a guest that is held go on. */
  go(): void {
    this.#mayGo = true;
    if (this.#phase === "holding") this.#attempt(() => this.#finish());
  }

  /** Gives it up; the guest goes on. */
  cancel(reason: string): void {
    if (!this.isOver) this.#fail(new Error(`Cannot fork: ${reason}`));
  }

  #later(action: () => void): void {
    this.#loop.after(0, () => {
      if (!this.isOver) this.#attempt(action);
    });
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    const { isHolding } = this;
    this.#phase = "over";
    this.#cancelTimeout();
    try {
      this.#base?.abandon();
    } finally {
      if (isHolding) this.#guest.release();
      this.#host.done(error);
    }
  }

  /** The instant: from the first device at rest to the last register taken, nothing else happens. */
  #take(): void {
    this.#phase = "copying";
    this.#guest.freeze();
    const { config, plugged, settings, history } = this.#guest;
    const machine = this.#guest.capture();
    checkNested(machine);
    const point = history.next();
    this.#taken = { config, plugged, settings, machine, point, takenAt: Date.now() };
    this.#base = new RamBase(this.#ram);
    if (!this.#mayGo) this.#host.held();
    this.#copy(this.#base);
  }

  #copy(base: RamBase): void {
    if (!base.step(STEP_BYTES)) return this.#later(() => this.#copy(base));
    this.#phase = "holding";
    if (this.#mayGo) this.#finish();
  }

  #finish(): void {
    const base = this.#base!;
    // RAM gets another mapping, of which no changes are tracked. Not before: a fork that comes to nothing
    // leaves the base of the next save what it is.
    this.#guest.history.forget();
    const aside = base.adopt();
    this.#phase = "encoding";
    this.#guest.release();
    const pausedMs = performance.now() - this.#pausedAt;
    if (aside !== undefined) this.#unmap(aside);
    // The guest runs while this is written down.
    this.#later(() => {
      const memory = { length: this.#ram.spec.length };
      const stateFd = sealedFile(encodeGuest({ ...this.#taken!, memory }));
      this.#taken = undefined;
      const source = { stateFd, memoryFd: duplicate(base.fd) };
      this.#phase = "over";
      this.#host.done({ ...source, pausedMs, copiedBytes: base.totalBytes });
    });
  }

  /** Whether it is over or not: the pages of the mapping that was there before go. */
  #unmap(aside: Mapping): void {
    const rest = unmapSome(aside, UNMAP_BYTES);
    if (rest !== undefined) this.#loop.after(0, () => this.#unmap(rest));
  }
}

/** Of a guest's own guest, KVM holds pages to which it would go on writing. */
function checkNested({ vcpus }: SavedMachine): void {
  const id = vcpus.findIndex(({ nested }) =>
    nested !== undefined && (nested[0] & IN_NESTED_GUEST) !== 0
  );
  if (id >= 0) throw new Error(`Cannot fork the guest: its vCPU ${id} runs a guest of its own`);
}

function sealedFile(bytes: Uint8Array<ArrayBuffer>): number {
  const fd = memfd("guest-state", bytes.length);
  try {
    writeAt(fd, bytes, 0);
    seal(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}
