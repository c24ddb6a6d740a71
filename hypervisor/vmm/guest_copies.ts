/**
 * The one at a time who copies a guest while it runs: to save it, to send it elsewhere, to have others go on
 * from it, or to go on in another VMM of this host.
 *
 * @module
 */
import { unlock } from "../sys/flock.ts";
import type { GuestConfig } from "./control.ts";
import type { EventLoop } from "./event_loop.ts";
import { Fork, type ForkHost } from "./fork/fork.ts";
import type { Hotplug } from "./hotplug.ts";
import type { Machine } from "./machine_setup.ts";
import { ramOptions } from "./memory_setup.ts";
import { Send, type SendableGuest, type SendHost, type SendOptions } from "./migrate/send.ts";
import { SaveHistory, type Tracking } from "./snapshot/history.ts";
import { savableGuest } from "./snapshot/savable_guest.ts";
import { Save } from "./snapshot/save.ts";
import type { CopyFigures, SavableGuest, SaveHost, SaveOptions } from "./snapshot/saving.ts";
import { type UpgradableGuest, Upgrade, type UpgradeHost } from "./upgrade/give.ts";
import type { VirtioService } from "./virtio_service.ts";

export interface CopiesOptions {
  config: GuestConfig;
  service: VirtioService;
  hotplug: Hotplug;
  tracking: Tracking;
  loop: EventLoop;
  /** Has the vCPUs run for so many percent less of the time. */
  slow(percent: number): void;
  /** Asks the vCPUs out of the guest, unless somebody has already. */
  hold(reason: string): void;
  /** Does what threads and drivers have asked for. */
  settle(): void;
  /** Lets the guest go on, if that is what it waits for. */
  release(reason: string): void;
  /** Leaves it paused, if that is what for. */
  stay(reason: string): void;
  /** It is given away, and ends here. */
  leave(message: string, reason: "migrated" | "upgraded"): void;
  /** It is given away, and stands still here for good. */
  strand(message: string): void;
  /** When it was started, milliseconds since the epoch, and why it does not run; null where it does. */
  standing(): { startedAt: number; pausedFor: string | null };
  /** Nothing is being copied any more. */
  over(): void;
  /** Something a person should know. */
  log(line: string): void;
}

/** To whom the guest is handed over. */
export interface UpgradeOptions {
  /** The unix socket at which the other VMM listens. */
  socket: string;
  /** What the guest's serial port has sent last. */
  serial(): Uint8Array<ArrayBuffer>;
}

type Action = "save" | "send" | "fork" | "upgrade";

/** What the guest is, meanwhile. */
const BEING: Readonly<Record<Action, string>> = {
  save: "is being saved",
  send: "is being sent",
  fork: "is being forked",
  upgrade: "is being upgraded",
};

export class GuestCopies {
  readonly #machine: Machine;
  readonly #options: CopiesOptions;
  readonly #history: SaveHistory;
  #work: Save | Send | Fork | Upgrade | undefined;
  #action: Action = "save";

  constructor(machine: Machine, options: CopiesOptions) {
    this.#machine = machine;
    this.#options = options;
    this.#history = new SaveHistory(options.tracking);
  }

  /** What the guest stands still for, "is being saved", say; undefined where it does not. */
  get holding(): string | undefined {
    return this.#work?.isHolding ? BEING[this.#action] : undefined;
  }

  /** Whether somebody copies it; also while that is being given up. */
  get isBusy(): boolean {
    return this.#work?.isOver === false;
  }

  /** A vCPU may have left the guest. */
  look(): void {
    this.#work?.look();
  }

  /** The guest ends. */
  cancel(reason: string): void {
    if (this.#work instanceof Send) this.#work.abandon(reason);
    else this.#work?.cancel(reason);
  }

  save(options: SaveOptions, host: SaveHost): Save {
    return this.#work = new Save(this.#guest("save"), {
      ...options,
      loop: this.#options.loop,
      host: {
        ...host,
        done: (error, figures) => this.#done(figures, () => host.done(error, figures)),
      },
    });
  }

  /** `record` is the file in which it is written down that the guest is given away. */
  send(options: SendOptions & { record: string }, host: SendHost): Send {
    const { cpuids, pc } = this.#machine;
    // Disks come and go meanwhile.
    const diskFds = () => pc.virtio.flatMap(({ device }) => device.files ?? []);
    const guest: SendableGuest = Object.assign(this.#guest("send"), {
      ...{ cpuids, diskFds },
      unlockDisks: () => diskFds().forEach(unlock),
      leave: (message: string) => this.#options.leave(message, "migrated"),
      strand: (message: string) => this.#options.strand(message),
    });
    return this.#work = new Send(guest, {
      ...options,
      loop: this.#options.loop,
      host: {
        ...host,
        done: (error, result) => this.#done(result, () => host.done(error, result)),
      },
    });
  }

  /** Makes what other guests can go on from. Where it can be, the next save is a whole one. */
  fork(options: { hold?: boolean }, host: ForkHost): Fork {
    const { pc: { memory }, memory: spec } = this.#machine;
    return this.#work = new Fork(this.#guest("fork"), {
      ...options,
      ram: { memory, spec, options: ramOptions(this.#options.config) },
      loop: this.#options.loop,
      host: {
        ...host,
        done: (source) => {
          host.done(source);
          this.#options.over();
        },
      },
    });
  }

  /** Has the guest go on in another VMM of this host. */
  upgrade({ socket, serial }: UpgradeOptions, host: UpgradeHost): Upgrade {
    const { cpuids, pc } = this.#machine;
    const { hotplug, loop, service, standing, leave } = this.#options;
    const being = `It ${BEING.upgrade}`;
    const own: Omit<UpgradableGuest, keyof SavableGuest> = {
      cpuids,
      get devices() {
        return [...pc.spec.devices, ...hotplug.specs()];
      },
      get pausedFor() {
        const { pausedFor } = standing();
        return pausedFor === being ? null : pausedFor;
      },
      get registers() {
        return pc.arena.sections();
      },
      get serial() {
        return serial();
      },
      startedAt: standing().startedAt,
      letGo: () => service.letGo(),
      leave: (message) => leave(message, "upgraded"),
    };
    const guest = this.#guest("upgrade");
    Object.defineProperties(guest, Object.getOwnPropertyDescriptors(own));
    return this.#work = new Upgrade(guest as UpgradableGuest, {
      ...{ socket, loop },
      host: {
        ...host,
        done: (error, result) => this.#done(result, () => host.done(error, result)),
      },
    });
  }

  /** The guest for what is to be done; throws where something else is not over. */
  #guest(action: Action): SavableGuest {
    if (this.isBusy) {
      throw new Error(`Cannot ${action} the guest: it ${BEING[this.#action]} already`);
    }
    if (this.#machine.pc.life.hasEnded) {
      throw new Error(`Cannot ${action} the guest: it has ended`);
    }
    this.#action = action;
    const reason = `It ${BEING[action]}`;
    return savableGuest(this.#machine, {
      ...this.#options,
      history: this.#history,
      hold: () => this.#options.hold(reason),
      release: () => this.#options.release(reason),
      stay: () => this.#options.stay(reason),
    });
  }

  #done({ stoodStill }: CopyFigures, tell: () => void): void {
    if (stoodStill !== undefined) {
      this.#options.log(`The guest stood still while its memory was copied: ${stoodStill}`);
    }
    tell();
    this.#options.over();
  }
}
