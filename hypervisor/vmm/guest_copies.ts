/**
 * The one at a time who copies a guest while it runs: to save it, or to send it elsewhere.
 *
 * @module
 */
import { unlock } from "../sys/flock.ts";
import type { GuestConfig } from "./control.ts";
import type { EventLoop } from "./event_loop.ts";
import type { Hotplug } from "./hotplug.ts";
import type { Machine } from "./machine_setup.ts";
import { Send, type SendableGuest, type SendHost, type SendOptions } from "./migrate/send.ts";
import { SaveHistory, type Tracking } from "./snapshot/history.ts";
import { savableGuest } from "./snapshot/savable_guest.ts";
import { Save } from "./snapshot/save.ts";
import type { CopyFigures, SavableGuest, SaveHost, SaveOptions } from "./snapshot/saving.ts";
import type { VirtioService } from "./virtio_service.ts";

export interface CopiesOptions {
  config: GuestConfig;
  service: VirtioService;
  hotplug: Hotplug;
  tracking: Tracking;
  loop: EventLoop;
  /** Asks the vCPUs out of the guest, unless somebody has already. */
  hold(): void;
  /** Does what threads and drivers have asked for. */
  settle(): void;
  /** Lets the guest go on, if that is what it waits for. */
  release(): void;
  /** Leaves it paused. */
  stay(): void;
  /** It is given away, and ends here. */
  leave(message: string): void;
  /** Nothing is being copied any more. */
  over(): void;
  /** Something a person should know. */
  log(line: string): void;
}

export class GuestCopies {
  readonly #machine: Machine;
  readonly #options: CopiesOptions;
  readonly #history: SaveHistory;
  #work: Save | Send | undefined;

  constructor(machine: Machine, options: CopiesOptions) {
    this.#machine = machine;
    this.#options = options;
    this.#history = new SaveHistory(options.tracking);
  }

  /** Whether the guest stands still for a copy. */
  get isHolding(): boolean {
    return this.#work?.isHolding ?? false;
  }

  /** Whether somebody copies it; also while that is being given up. */
  get isBusy(): boolean {
    return this.#work?.isOver === false;
  }

  /** A vCPU may have left the guest. */
  look(): void {
    this.#work?.look();
  }

  cancel(reason: string): void {
    this.#work?.cancel(reason);
  }

  save(options: SaveOptions, host: SaveHost): Save {
    this.#check("save");
    return this.#work = new Save(this.#guest(), {
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
    this.#check("send");
    const { cpuids, pc } = this.#machine;
    const diskFds = pc.virtio.flatMap(({ device }) => device.files ?? []);
    const guest: SendableGuest = Object.assign(this.#guest(), {
      ...{ cpuids, diskFds },
      unlockDisks: () => diskFds.forEach(unlock),
      leave: (message: string) => this.#options.leave(message),
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

  #check(action: string): void {
    if (!this.isBusy) return;
    const what = this.#work instanceof Send ? "sent" : "saved";
    throw new Error(`Cannot ${action} the guest: it is being ${what} already`);
  }

  #guest(): SavableGuest {
    return savableGuest(this.#machine, { ...this.#options, history: this.#history });
  }

  #done({ stoodStill }: CopyFigures, tell: () => void): void {
    if (stoodStill !== undefined) {
      this.#options.log(`The guest stood still while its memory was copied: ${stoodStill}`);
    }
    tell();
    this.#options.over();
  }
}
