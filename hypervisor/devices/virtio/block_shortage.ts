/**
 * A disk whose host is out of room: requests that found none are kept, the guest stops before it sees
 * anything of it, and all goes on when there is room again.
 *
 * @module
 */
import type { DeviceHost } from "./device.ts";

/** How often a guest that waits for room looks for it, in milliseconds. */
const RETRY_MS = 1000;

export interface ShortageOptions {
  host: DeviceHost;
  /** Says whose room has run out. */
  reason: string;
  /** More than the largest tag. */
  tags: number;
  /** Tries a request again. */
  restart(tag: number): void;
  /** Hands over what was restarted. */
  drive(): void;
}

export class Shortage {
  readonly #options: ShortageOptions;
  readonly #waiting: Int32Array;
  #count = 0;
  /** 1 for each request that was tried again and has not been answered yet. */
  readonly #tried: Uint8Array;
  #trying = 0;
  /** The guest stands still because of this. */
  #paused = false;
  #cancel: (() => void) | undefined;

  constructor(options: ShortageOptions) {
    this.#options = options;
    this.#waiting = new Int32Array(options.tags);
    this.#tried = new Uint8Array(options.tags);
  }

  /** Requests wait, or it is not known yet whether they still have to. */
  get active(): boolean {
    return this.#count + this.#trying > 0;
  }

  /** How many requests are kept. */
  get waiting(): number {
    return this.#count;
  }

  /** Keeps a request that found no room. */
  hold(tag: number): void {
    this.#answered(tag);
    this.#waiting[this.#count++] = tag;
    if (!this.#paused) {
      this.#paused = true;
      this.#options.host.pause(this.#options.reason);
    }
    this.#cancel ??= this.#options.host.after(RETRY_MS, () => {
      this.#cancel = undefined;
      this.#retry();
    });
  }

  /** A request has been answered: perhaps it was the last that waited. */
  done(tag: number): void {
    this.#answered(tag);
    if (this.active) return;
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#paused) {
      this.#paused = false;
      this.#options.host.resume(this.#options.reason);
    }
  }

  #answered(tag: number): void {
    if (this.#tried[tag] === 0) return;
    this.#tried[tag] = 0;
    this.#trying--;
  }

  /** Somebody let the guest go on. */
  resumed(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#retry();
  }

  #retry(): void {
    const tags = this.#waiting.slice(0, this.#count);
    this.#count = 0;
    this.#trying += tags.length;
    for (const tag of tags) this.#tried[tag] = 1;
    for (const tag of tags) this.#options.restart(tag);
    this.#options.drive();
  }

  /** Forgets all. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#count = this.#trying = 0;
    this.#tried.fill(0);
    if (this.#paused) {
      this.#paused = false;
      this.#options.host.resume(this.#options.reason);
    }
  }
}
