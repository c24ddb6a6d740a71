/**
 * One guest: from a configuration to running vCPUs to its end. Runs in the main loop, which never
 * enters the guest itself.
 *
 * @module
 */
import { Kvm } from "../kvm/kvm.ts";
import { drain, signal } from "../sys/eventfd.ts";
import type { GuestMemory } from "../machine/memory.ts";
import type { MemorySpec } from "../machine/ram.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { announce } from "./announcing.ts";
import { checkHostMemory } from "./config/guest.ts";
import type { ExitReason, GuestConfig } from "./control.ts";
import { takeDisks } from "./device_specs.ts";
import { DirtyTracking } from "./dirty_tracking.ts";
import { DiskTracking } from "./disk_tracking.ts";
import type { EventLoop } from "./event_loop.ts";
import { collectGarbage } from "./garbage.ts";
import { GuestCopies, type UpgradeOptions } from "./guest_copies.ts";
import {
  type GuestEnd,
  type GuestHost,
  type GuestOptions,
  type RestoreOptions,
  SAVED,
  WAITS,
} from "./guest_host.ts";
import { Hotplug } from "./hotplug.ts";
import type { Fork, ForkHost } from "./fork/fork.ts";
import {
  END_MESSAGES,
  LACKING_TIMEOUT_MS,
  START_TIMEOUT_MS,
  STOP_TIMEOUT_MS,
} from "./lifecycle.ts";
import { restoreMachine } from "./machine_restore.ts";
import { bootMachine, type Machine } from "./machine_setup.ts";
import { checkAffinity } from "./memory_setup.ts";
import type { Send, SendHost, SendOptions } from "./migrate/send.ts";
import type { Pc } from "./pc.ts";
import type { Save } from "./snapshot/save.ts";
import type { SaveHost, SaveOptions } from "./snapshot/saving.ts";
import type { Upgrade, UpgradeHost } from "./upgrade/give.ts";
import { SerialOutput } from "./serial_output.ts";
import { SlowDown } from "./slow_down.ts";
import { VcpuThreads } from "./vcpu_threads.ts";
import { VirtioService } from "./virtio_service.ts";

export type { GuestEnd, GuestHost, GuestOptions, RestoreOptions } from "./guest_host.ts";

/** When a guest is busy with itself after its start, in milliseconds. */
const SETTLED_MS = 10_000;

export class Guest {
  readonly config: GuestConfig;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What comes and goes while the guest runs. */
  readonly hotplug: Hotplug;
  /** What it is made of. */
  readonly machine: Machine;
  /** Which pages of its memory change, for those who copy it while it runs. */
  readonly tracking: DirtyTracking;
  /** Which parts of its disks change, likewise. */
  readonly diskTracking: DiskTracking;
  readonly #pc: Pc;
  readonly #loop: EventLoop;
  readonly #host: GuestHost;
  readonly #service: VirtioService;
  readonly #serial: SerialOutput;
  readonly #threads: VcpuThreads;
  #end_: GuestEnd | undefined;
  #pausedFor: string | null = null;
  readonly #copies: GuestCopies;
  #isEnding = false;
  /** What it is that it was given to another VMM. */
  #hasLeft: ExitReason | undefined;
  /** A part of its memory is nowhere any more: nothing may wait for that. */
  #lacksMemory = false;
  /** As whom it goes on, once it is let go. */
  #waitsAs: RestoreOptions["identity"] | undefined;

  /**
   * Sets the guest up and starts it, or lets it go on from a snapshot; throws where it cannot, and then
   * the process is to end.
   */
  constructor(config: GuestConfig, options: GuestOptions) {
    const { loop, host, restore, plugged } = options;
    this.config = config;
    this.#loop = loop;
    this.#host = host;
    checkHostMemory(config, readPseudoFile("/proc/meminfo"));
    checkAffinity(config);
    const { snapshot } = restore ?? {};
    const kvm = snapshot && "machine" in snapshot ? snapshot.machine.kvm : Kvm.open();
    // A thread takes longest to start, so it does while the rest is set up.
    const threads = this.#threads = options.threads ?? new VcpuThreads(loop);
    const log = (line: string) => host.log(line);
    const machine = restore === undefined
      ? bootMachine(kvm, config, { threads, log, plugged })
      : restoreMachine(config, { kvm, threads, log, ...restore });
    const { pc } = this.machine = machine;
    this.#pc = pc;
    this.#serial = new SerialOutput(pc.serial, { loop, host });
    this.#service = new VirtioService(pc, {
      loop,
      host: {
        violated: (device, reason) => log(`The guest's driver broke ${device}: ${reason}`),
        pause: (reason) => this.pause(reason),
        resume: (reason) => this.resume(reason),
      },
    });
    this.hotplug = new Hotplug(pc, {
      cpus: config.cpus,
      stop: (transport) => this.#service.stop(transport),
      plugged: (device) => this.diskTracking.plugged(device),
      unplugged: (device) => host.unplugged(device),
      after: (ms, action) => loop.after(ms, action),
      log: (line) => host.log(line),
    });
    this.diskTracking = new DiskTracking(() => pc.virtio.map(({ device }) => device));
    this.tracking = new DirtyTracking({
      memory: pc.memory,
      vmFd: pc.spec.vmFd,
      devices: () => pc.virtio.map(({ device }) => device),
    });
    const slowDown = new SlowDown(pc.life, (ms, action) => loop.after(ms, action));
    this.#copies = new GuestCopies(this.machine, {
      ...{ config, loop, service: this.#service, hotplug: this.hotplug, tracking: this.tracking },
      slow: (percent) => slowDown.percent = percent,
      hold: (reason) => this.pause(reason),
      settle: () => {
        this.look();
        this.#serial.drain();
      },
      release: (reason) => {
        this.#service.thaw();
        for (const it of [reason, SAVED]) this.resume(it);
      },
      stay: (reason) => {
        if (this.#pausedFor === reason) this.#pausedFor = SAVED;
      },
      leave: (message, reason) => {
        this.#hasLeft = reason;
        this.#end(reason, message);
      },
      strand: (message) => {
        this.#hasLeft = "migrated";
        this.#pausedFor = message;
        host.paused(message);
      },
      standing: () => ({ startedAt: this.startedAt, pausedFor: this.#pausedFor }),
      over: () => this.#isEnding && this.#over(),
      log: (line) => host.log(line),
    });
    loop.watch(pc.wakeIoFd, () => {
      drain(pc.wakeIoFd);
      this.look();
    });
    loop.after(START_TIMEOUT_MS, () => {
      if (pc.life.threads + pc.life.stopped < config.cpus) {
        this.#end("host", "The vCPUs' threads did not start");
      }
    });
    machine.plugged.forEach((one) => this.hotplug.takeOn(one));
    const isHeld = restore?.isHeld || restore?.waits;
    if (restore?.waits) {
      this.#waitsAs = restore.identity;
      this.#pausedFor = WAITS;
    }
    if (restore !== undefined && !isHeld) this.#goOn(restore.identity);
    this.startedAt = restore?.startedAt ?? Date.now();
    this.#pausedFor ??= restore?.pausedFor ?? null;
    if (this.#pausedFor === null && !isHeld) pc.life.release();
    loop.after(SETTLED_MS, () => {
      pc.life.tidy();
      pc.life.kickAll();
      collectGarbage();
    });
  }

  /** What a restored guest's devices had begun goes on. */
  #goOn(identity: RestoreOptions["identity"]): void {
    this.#service.restore();
    if (identity === "new") this.#pc.changeGeneration();
    // What the serial port held when it was saved.
    signal(this.#pc.wakeIoFd);
  }

  /** It is this VMM's from here on: takes its disks, which throws where another has one, and runs it. */
  takeOver(identity: RestoreOptions["identity"]): void {
    takeDisks([...this.#pc.spec.devices, ...this.hotplug.specs()]);
    this.#goOn(identity);
    if (this.#pausedFor === null) this.#pc.life.release();
    const { life, virtio } = this.#pc;
    const devices = () => life.hasEnded ? [] : virtio.map(({ device }) => device);
    announce(devices, (ms, action) => this.#loop.after(ms, action));
  }

  /** Pages of its memory are still to come, or none are any more; it is not copied, and gives none back, before. */
  set isArriving(isArriving: boolean) {
    this.#pc.memory.arriving = isArriving;
  }

  /** What is to come of its memory never will: it cannot go on. */
  loseMemory(why: string): void {
    this.#lacksMemory = true;
    // A vCPU that waits for a page may never stop.
    const soon = { withinMs: LACKING_TIMEOUT_MS };
    this.#end("host", `The guest was ended, for its memory did not all come: ${why}`, soon);
  }

  /** How it ended, once nothing of it runs any more. */
  get end(): GuestEnd | undefined {
    return this.#end_;
  }

  /** Its memory as this thread sees it, and how that is mapped. */
  get memory(): { view: GuestMemory; spec: MemorySpec } {
    return { view: this.#pc.memory, spec: this.#pc.spec.memory };
  }

  /** Whether every vCPU waits to be released, between two instructions. */
  get isParked(): boolean {
    return this.#pc.life.parked === this.config.cpus;
  }

  /** Whether it is to go on from a snapshot, and nothing of it has run yet. */
  get isWaiting(): boolean {
    return this.#waitsAs !== undefined;
  }

  /** Why the guest does not run; null while it does. */
  get pausedFor(): string | null {
    return this.#pausedFor;
  }

  /** Does what threads and drivers asked for since the last time. */
  look(): void {
    this.#service.lookAtRequests();
    this.hotplug.serve();
    this.#serial.look();
    const { life } = this.#pc;
    this.#threads.look(life);
    this.#copies.look();
    if (life.hasEnded && life.stopped === this.config.cpus) this.#over();
  }

  #over(): void {
    if (this.#end_) return;
    if (!this.#isEnding) {
      this.#isEnding = true;
      this.#copies.cancel("the guest has ended");
      // What stands still there is somebody else's by now, its taps and disks too.
      if (this.#hasLeft === undefined && !this.#lacksMemory) this.#service.close();
      this.#serial.drain();
    }
    // A thread that copies memory still uses it: this is called again when it is through.
    if (this.#copies.isBusy) return;
    const { life } = this.#pc;
    // What was asked of it when it was on its way does not matter any more.
    const reason = this.#hasLeft ?? life.reason ?? "host";
    this.#end_ = { reason, message: life.message || END_MESSAGES[reason] };
  }

  #end(reason: ExitReason, message: string, { withinMs = STOP_TIMEOUT_MS } = {}): void {
    const { life } = this.#pc;
    life.end(reason, message);
    life.kickAll();
    signal(this.#pc.wakeIoFd);
    // Should a thread hang in the kernel, the process ends without it.
    this.#loop.after(withinMs, () => this.#over());
  }

  /** Types at the serial port; how many of the bytes there was room for. */
  type(bytes: Uint8Array): number {
    return this.#pc.serial.receive(bytes);
  }

  pressPowerButton(): void {
    this.#pc.pressPowerButton();
  }

  /** Tells the guest that it is a copy of itself or comes from its past. */
  changeGeneration(): void {
    this.#pc.changeGeneration();
  }

  /** Keeps the vCPUs out of the guest until {@linkcode resume}; the first reason is told. */
  pause(reason: string): void {
    // One that stands still for a copy stays paused when that is over.
    const isOther = this.#pausedFor !== null &&
      this.#pausedFor !== `It ${this.#copies.holding}`;
    if (isOther || this.#pc.life.hasEnded) return;
    this.#pausedFor = reason;
    this.#pc.life.hold();
    this.#pc.life.kickAll();
    this.#host.paused(reason);
  }

  /** Lets the guest go on: with a reason, only if that is what it was paused for. */
  resume(reason = this.#pausedFor): void {
    if (this.#pausedFor === null || this.#pausedFor !== reason) return;
    const { holding } = this.#copies;
    if (holding !== undefined) throw new Error(`Cannot resume the guest: it ${holding}`);
    if (this.#pc.life.hasEnded) return;
    if (this.#hasLeft !== undefined) {
      throw new Error("Cannot resume the guest: it was given to another VMM");
    }
    if (this.#waitsAs !== undefined) return this.#letGo(this.#waitsAs);
    this.#pausedFor = null;
    this.#service.thaw();
    this.#service.resumed();
    // A device that still cannot go on has paused it again.
    if (this.#pausedFor !== null) return;
    this.#pc.life.release();
    this.#host.paused(null);
  }

  #letGo(identity: RestoreOptions["identity"]): void {
    this.#waitsAs = undefined;
    this.#pausedFor = null;
    this.takeOver(identity);
    // A device that cannot go on has paused it.
    if (this.#pausedFor === null) this.#host.paused(null);
  }

  /**
   * Saves the guest; one copy at a time. With `stay` it is paused afterwards, else it goes on; so it does
   * where it cannot be saved.
   */
  save(options: SaveOptions, host: SaveHost): Save {
    this.#checkIsLetGo("save");
    return this.#copies.save(options, host);
  }

  /** Sends the guest to another VMM, which then runs it; where it cannot be sent, it goes on here. */
  send(options: SendOptions & { record: string }, host: SendHost): Send {
    this.#checkIsLetGo("send");
    return this.#copies.send(options, host);
  }

  /** Makes what other guests can go on from; this one goes on in any case. */
  fork(options: { hold?: boolean }, host: ForkHost): Fork {
    this.#checkIsLetGo("fork");
    return this.#copies.fork(options, host);
  }

  /** Hands the guest over to another VMM of this host; where it cannot be, it goes on here. */
  upgrade(options: UpgradeOptions, host: UpgradeHost): Upgrade {
    this.#checkIsLetGo("upgrade");
    return this.#copies.upgrade(options, host);
  }

  #checkIsLetGo(action: string): void {
    const why = this.isWaiting
      ? "it waits to go on"
      : this.#hasLeft !== undefined
      ? "it was given to another VMM"
      : this.#pc.memory.arriving
      ? "its memory has not all come yet"
      : undefined;
    if (why !== undefined) throw new Error(`Cannot ${action} the guest: ${why}`);
  }

  /** Throws where devices stand still, because the guest is saved or was: they are left alone then. */
  checkDevicesRun(action: string): void {
    if (this.isWaiting) throw new Error(`Cannot ${action}: the guest waits to go on`);
    if (this.#service.isFrozen) {
      const why = this.#copies.holding ?? "was saved, and has not gone on";
      throw new Error(`Cannot ${action}: the guest ${why}`);
    }
  }

  /** What each device tells of itself, by the device's name. */
  devices(): Record<string, Record<string, unknown>> {
    this.checkDevicesRun("ask the devices");
    return Object.fromEntries(
      this.#pc.virtio.map(({ device }) => [device.name, device.report?.() ?? {}]),
    );
  }

  /** Changes a device of the running guest; throws where there is none, or where it cannot. */
  change(name: string, change: Readonly<Record<string, unknown>>): void {
    const device = this.#pc.virtio.find(({ device }) => device.name === name)?.device;
    if (!device) throw new RangeError(`Cannot change "${name}": the guest has no such device`);
    this.checkDevicesRun(`change "${name}"`);
    if (!device.change) {
      throw new TypeError(`Cannot change "${name}": nothing about it changes while a guest runs`);
    }
    device.change(change);
  }

  /** Ends the guest at once, as pulling the plug would. */
  kill(): void {
    this.#end("poweroff", "It was told to end");
  }
}
