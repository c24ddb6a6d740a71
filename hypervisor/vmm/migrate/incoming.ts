/**
 * What all who bring a guest from another VMM have in common: they listen for one, hear what it says, have
 * RAM received, and go round until they have what they wait for.
 *
 * @module
 */
import type { MemorySpec } from "../../machine/ram.ts";
import { drain } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { accept, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import type { ReceivingPhase } from "../control.ts";
import { listenForHost } from "../device_sockets.ts";
import type { EventLoop } from "../event_loop.ts";
import type { Guest } from "../guest.ts";
import { Mover } from "../mover.ts";
import type { ReceiveTask } from "../mover_worker.ts";
import type { Pc } from "../pc.ts";
import { encodeReason, type Frame, type FrameKind } from "./frames.ts";
import { Link } from "./link.ts";

export interface IncomingOptions {
  /** The unix socket to listen on, for one VMM. */
  socket: string;
  /** What cannot be done where it goes wrong: "receive the guest", say. */
  action: string;
  loop: EventLoop;
  /** Whether this VMM is to end. */
  isStopping(): boolean;
  /** Where descriptors go that come along; they are dropped without. */
  descriptors?: number[];
  /** What it throws is why the guest is refused. */
  frame(frame: Frame): void;
  /** Nothing comes any more: see `LinkHost`. */
  broken(error: Error, isGone: boolean): void;
}

/** Who says what is to be said to the other VMM. */
interface Speaker {
  /** Whether it still can. */
  readonly isOpen: boolean;
  say(kind: FrameKind, body?: Uint8Array<ArrayBuffer>): void;
}

/** How long the last words may take to leave, in milliseconds. */
const GOODBYE_MS = 2000;

export class Incoming {
  phase: ReceivingPhase = "listening";
  readonly #options: IncomingOptions;
  readonly #loop: EventLoop;
  #listener: number;
  #link: Link | undefined;
  #instead: Speaker | undefined;
  #mover: Mover | undefined;
  #error: Error | undefined;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#loop = options.loop;
    this.#listener = listenForHost(options.socket);
    this.#loop.watch(this.#listener, () => this.#accept());
  }

  /** To the other VMM, which has come. */
  get link(): Link {
    return this.#link!;
  }

  /** Why the guest is refused; the first reason counts. */
  get error(): Error | undefined {
    return this.#error;
  }

  fail(error: Error): void {
    this.#error ??= error;
  }

  /** What is thrown is why the guest is refused. */
  attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  /** The machine cannot be made; the other VMM is told. */
  refuse(error: Error): void {
    const words = encodeReason(error.message);
    const instead = this.#instead;
    if (instead === undefined) {
      this.#link?.say("failed", words);
      this.#link?.close();
      return;
    }
    if (!instead.isOpen) return;
    instead.say("failed", words);
    let isLate = false;
    const cancel = this.#loop.after(GOODBYE_MS, () => isLate = true);
    this.#loop.run(() => !instead.isOpen || isLate);
    cancel();
  }

  /** Whoever has the connection from now on is told what is to be said there. */
  leaveTo(other: Speaker): void {
    this.#instead = other;
    this.link.lend();
  }

  say(kind: FrameKind): void {
    (this.#instead ?? this.link).say(kind);
  }

  /** Goes round until it is done; throws why it never will be, and then the other VMM is told. */
  until(isDone: () => boolean): void {
    const { isStopping, action } = this.#options;
    this.#loop.run(() => isDone() || this.#error !== undefined || isStopping());
    // Its thread fills memory, and reads from the connection.
    if (!isDone()) this.#mover?.cancel();
    this.#loop.run(() => this.#mover === undefined);
    if (isDone()) return;
    const error = this.#error ?? new Error(`Cannot ${action}: it was told to end`);
    this.refuse(error);
    this.#stopListening();
    throw error;
  }

  /** Goes round until the machine stands, and could run. */
  untilParked(guest: Guest): void {
    this.until(() => guest.isParked || guest.end !== undefined);
    if (guest.end !== undefined) throw new Error(guest.end.message);
  }

  /** The guest is not to wait for what takes longest, its vCPUs' threads: calls `ready` once all are there. */
  awaitThreads({ life, wakeIoFd }: Pc, cpus: number, ready: () => void): void {
    this.#loop.watch(wakeIoFd, () =>
      this.attempt(() => {
        drain(wakeIoFd);
        if (life.hasEnded) throw new Error(`Cannot ${this.#options.action}: ${life.message}`);
        if (life.parked < cpus || this.#error !== undefined) return;
        this.#loop.unwatch(wakeIoFd);
        ready();
      }));
  }

  /** Has the connection's next bytes fill memory, by a thread of its own, up to the end of RAM's stream. */
  receiveRam(memory: MemorySpec, how: Pick<ReceiveTask, "following" | "mayPack"> = {}): void {
    const link = this.link;
    link.lend();
    this.#mover = new Mover(this.#loop, {
      memory,
      task: { kind: "receive", fd: link.fd, ...how },
      ended: (error) => {
        this.#mover = undefined;
        if (error === undefined) return link.giveBack();
        this.fail(error);
      },
    });
  }

  #stopListening(): void {
    if (this.#listener < 0) return;
    this.#loop.unwatch(this.#listener);
    close(this.#listener);
    this.#listener = -1;
    Deno.removeSync(this.#options.socket);
  }

  #accept(): void {
    const fd = accept(this.#listener);
    if (fd === WOULD_BLOCK) return;
    this.#stopListening();
    this.phase = "greeting";
    const { descriptors, frame, broken } = this.#options;
    this.#link = new Link(fd, {
      ...{ loop: this.#loop, descriptors },
      host: { frame: (it) => this.attempt(() => frame(it)), broken },
    });
  }
}
