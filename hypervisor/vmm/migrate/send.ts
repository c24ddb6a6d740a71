/**
 * Sends a running guest to another VMM, such that never both run it.
 *
 * | phase      | what                                                           | if the link breaks |
 * | ---------- | -------------------------------------------------------------- | ------------------ |
 * | `greeting` | the receiver looks whether it can take the guest               | the guest runs on  |
 * | `moving`   | RAM is sent while the guest runs, then the instant and the rest | the guest goes on  |
 * | `asking`   | the receiver has the state, and builds a machine of it         | the guest goes on  |
 * | `holding`  | only if the caller wanted that: it copies disks, say           | the guest goes on  |
 * | `giving`   | it is written down that the guest is given away, then said     | it never runs here |
 * | `post-copying` | the receiver runs it; what of its memory is only here follows | it is lost: see below |
 * | `over`     | the receiver runs it; or it was given up, and it runs here     |                    |
 *
 * Between the two is the one instant at which the file with the word is on the disk. A receiver that then
 * is not told (the link broke, this process was killed) waits for somebody to tell it who has seen that
 * file: see `receiver.ts`.
 *
 * With `postCopy`, memory that changes as fast as it is sent follows its guest. From `go` to the receiver's last
 * word, `arrived`, the guest's memory is in two places, and whoever goes away takes a part of it: the receiver
 * ends the guest then, and here it stands still for good, until this VMM is told to end. It does not go on here,
 * for what it has done elsewhere meanwhile cannot be undone, on its disks least of all.
 *
 * @module
 */
import type { EventLoop } from "../event_loop.ts";
import { type PreparedFile, prepareFile, removeIfThere } from "../durable_file.ts";
import { syncInBackground } from "../snapshot/background_sync.ts";
import { type Captured, LiveCopy } from "../snapshot/live_copy.ts";
import { encodeGuest } from "../snapshot/saved_guest.ts";
import type { Compression } from "../move/packing.ts";
import { SPOKEN } from "../spoken_versions.ts";
import { connectUnix } from "../../sys/unix_sockets.ts";
import { mappedLength } from "../../machine/ram.ts";
import { DirtyPages } from "../../machine/dirty_pages.ts";
import {
  asksOf,
  decodeReason,
  decodeWelcome,
  encodeHello,
  encodeReason,
  type Frame,
} from "./frames.ts";
import { Link } from "./link.ts";
import { Deadline, newHandOver } from "./outgoing.ts";
import { PageServer } from "./page_server.ts";
import type { SendableGuest, SendHost, SendOptions, SendProgress, SendResult } from "./sending.ts";
import { resultOf, withFollowing } from "./sending.ts";

export type { SendableGuest, SendHost, SendOptions } from "./sending.ts";

/** How long the receiver may take to say whether it can, in milliseconds. */
const WELCOME_MS = 120_000;
/** How long it may take to build the machine, while the guest stands still, in milliseconds. */
const READY_MS = 30_000;
/** How long its last word is waited for, in milliseconds. */
const RUNS_MS = 30_000;

export class Send {
  /** Names this hand-over on both sides. */
  readonly handOver = newHandOver();
  readonly #guest: SendableGuest;
  readonly #loop: EventLoop;
  readonly #host: SendHost;
  readonly #options: SendOptions & { record: string };
  readonly #link: Link;
  readonly #deadline: Deadline;
  #phase: SendProgress["phase"] | "ending" | "over" = "greeting";
  #copy: LiveCopy | undefined;
  #state = new Uint8Array();
  /** What is to say that the guest is given away. */
  #record: PreparedFile | undefined;
  #mayGo: boolean;
  /** Why the receiver cannot have memory follow, where it was asked. */
  #whyNot: string | undefined;
  /** How memory is packed, where that was asked for and the receiver can unpack it. */
  #compress: Compression | undefined;
  /** What follows, from when it is known. */
  #following: PageServer | undefined;
  readonly #followingSet: DirtyPages | undefined;
  #isReady = false;
  #isStreamOver = false;
  #isSynced = false;
  #error: Error | undefined;
  #cancelTimeout: () => void = () => {};

  /** Throws where nobody listens. `record` is the file in which it is written down. */
  constructor(
    guest: SendableGuest,
    options: SendOptions & { loop: EventLoop; host: SendHost; record: string },
  ) {
    this.#guest = guest;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#deadline = new Deadline(options.loop);
    this.#options = options;
    this.#mayGo = !(options.hold ?? false);
    if (options.postCopy) this.#followingSet = DirtyPages.of(mappedLength(guest.memory));
    this.#link = new Link(connectUnix(options.socket), {
      loop: options.loop,
      host: {
        frame: (frame) => this.#attempt(() => this.#answered(frame)),
        broken: (error) => this.#broken(error),
        flushed: () => this.#following?.flushed(),
      },
    });
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      this.#cancelTimeout = this.#loop.after(timeoutMs, () => {
        if (!this.isHolding) this.#fail(`it has taken ${timeoutMs} ms`);
      });
    }
    const { config, plugged, cpuids } = guest;
    const { handOver } = this;
    const known = { handOver, config, plugged, cpuids };
    this.#link.say("hello", encodeHello({ ...SPOKEN, ...known, ...asksOf(options) }));
    this.#within(WELCOME_MS, "the other VMM does not answer");
  }

  get isHolding(): boolean {
    return this.#copy?.isHolding ?? false;
  }

  get isOver(): boolean {
    return this.#phase === "over";
  }

  look(): void {
    this.#copy?.look();
  }

  /** The disks are where they are to be: a guest that is held may be given away. */
  go(): void {
    this.#mayGo = true;
    this.#attempt(() => this.#give());
  }

  /** Gives it up, if that still can be. */
  cancel(reason: string): void {
    this.#fail(reason);
  }

  /** Ends it, whoever is lost by that: this VMM is told to end. */
  abandon(reason: string): void {
    if (this.#following !== undefined && this.#isGiven) this.#lost(reason);
    else this.cancel(reason);
  }

  #attempt(action: () => void): void {
    if (this.#phase === "ending" || this.#phase === "over") return;
    try {
      action();
    } catch (error) {
      const { message } = error as Error;
      // What it says cannot be understood: it is as good as gone.
      if (this.#isGiven && this.#following !== undefined) this.#lost(message);
      else this.#fail(message);
    }
  }

  /** Something is to have happened before so long. */
  #within(ms: number, why: string): void {
    this.#deadline.set(ms, () => {
      if (this.#phase === "giving") this.#unheard("the other VMM does not say that it runs it");
      else this.#fail(why);
    });
  }

  #answered({ kind, body }: Frame): void {
    if (kind === "failed") {
      this.#link.end();
      if (this.#isGiven) return this.#unheard(decodeReason(body));
      return this.#fail(decodeReason(body));
    }
    if (kind === "want" && this.#following !== undefined) return this.#following.wanted(body);
    switch (`${this.#phase} ${kind}`) {
      case "greeting welcome": {
        const { postCopy, why, compress } = decodeWelcome(body);
        const asked = this.#options;
        if (asked.postCopy && !postCopy) this.#whyNot = why;
        if (compress && asked.compress !== "none") this.#compress = asked.compress;
        return this.#move();
      }
      case "asking ready":
        this.#isReady = true;
        this.#copy!.parts.end("build");
        this.#phase = "holding";
        return this.#give();
      case "giving runs":
        this.#copy!.parts.end("run");
        if (this.#following === undefined) return this.#gone(true);
        this.#deadline.clear();
        this.#copy!.goesOnElsewhere();
        this.#phase = "post-copying";
        return this.#tell();
      case "post-copying arrived":
        return this.#gone(true);
      default:
        throw new Error(`the other VMM says "${kind}" where nobody asked`);
    }
  }

  #move(): void {
    this.#deadline.clear();
    this.#phase = "moving";
    const { allowedPauseMs, bytesPerSecond, force = false, slowDown, postCopy } = this.#options;
    const mayFollow = postCopy && this.#whyNot === undefined;
    this.#sync(() => {});
    this.#copy = new LiveCopy(this.#guest, {
      loop: this.#loop,
      task: { kind: "stream", fd: this.#link.fd, compress: this.#compress },
      ...{ allowedPauseMs, bytesPerSecond, isPatient: !force, slowDown },
      following: mayFollow ? this.#followingSet : undefined,
      host: {
        tick: () => this.#tell(),
        rehearsed: (captured) => {
          this.#encode(captured);
          this.#attempt(() => this.#prepareRecord());
        },
        stuck: () => {
          if (this.#whyNot === undefined) return;
          this.#fail(
            `it changes its memory as fast as it is sent, which cannot follow: ${this.#whyNot}`,
          );
        },
        taken: () => this.#attempt(() => this.#taken()),
        copied: () => this.#attempt(() => this.#copied()),
        failed: (error) => this.#fail(error.message),
        ended: (error) => this.#moved(error),
      },
    });
  }

  /** What the guest has written is to be there for whoever opens its disks elsewhere. */
  #sync(then: () => void): void {
    const fds = this.#guest.diskFds();
    if (fds.length === 0) return then();
    syncInBackground(fds, {
      loop: this.#loop,
      done: (error) =>
        this.#attempt(() => {
          if (error !== undefined) throw error;
          then();
        }),
    });
  }

  #taken(): void {
    this.#sync(() => {
      this.#isSynced = true;
      this.#give();
    });
    if (!this.#mayGo) this.#host.held();
    // The last of RAM is on its way meanwhile.
    this.#state = this.#encode(this.#copy!.captured);
  }

  #prepareRecord(): void {
    const said = JSON.stringify({ handOver: this.handOver, at: Date.now() });
    this.#record ??= prepareFile(this.#options.record, said);
  }

  #encode(captured: Captured): Uint8Array<ArrayBuffer> {
    return encodeGuest({ ...captured, memory: { length: mappedLength(this.#guest.memory) } });
  }

  /** The mover has said its last: the connection is this thread's again. */
  #copied(): void {
    this.#isStreamOver = true;
    this.#phase = "asking";
    this.#follow();
    this.#link.say("state", this.#state);
    // While the receiver is at it.
    this.#prepareRecord();
    this.#within(READY_MS, "the other VMM does not get ready");
  }

  #moved(error: Error | undefined): void {
    if (this.#phase === "ending") return this.#end();
    if (error !== undefined) this.#fail(error.message);
  }

  /** The one step that is not taken back. */
  #give(): void {
    if (this.#phase !== "holding") return;
    this.#deadline.clear();
    if (!this.#isReady || !this.#isSynced || !this.#mayGo) return;
    this.#copy!.parts.end("hold");
    const record = this.#record!;
    this.#record = undefined;
    try {
      record.appear();
    } catch (error) {
      // It may have its name, and then would say what is not so.
      removeIfThere(this.#options.record);
      throw error;
    }
    this.#copy!.parts.end("record");
    this.#phase = "giving";
    this.#guest.unlockDisks();
    this.#link.say("go");
    if (!this.#link.isOpen) return;
    this.#within(RUNS_MS, "");
    this.#following?.push();
  }

  /** Whether it is written down that the guest is given away. */
  get #isGiven(): boolean {
    return this.#phase === "giving" || this.#phase === "post-copying";
  }

  #broken(error: Error): void {
    if (this.#isGiven) this.#unheard(error.message);
    else this.#fail(error.message);
  }

  /** The receiver has not said all that it had to say. */
  #unheard(reason: string): void {
    if (this.#following === undefined) this.#gone(false);
    else this.#lost(reason);
  }

  /** The pages that were not sent, if there are any, are asked for from now on, and follow once it is given away. */
  #follow(): void {
    const pages = this.#followingSet;
    if (pages === undefined || pages.count === 0) return;
    this.#following = new PageServer(pages, {
      memory: this.#guest.memory,
      ...{ link: this.#link, loop: this.#loop },
      bytesPerSecond: this.#options.bytesPerSecond,
    });
  }

  /** The guest is not this VMM's any more. */
  #gone(isHeard: boolean): void {
    this.#deadline.clear();
    this.#cancelTimeout();
    this.#phase = "over";
    this.#copy!.close({ served: true });
    this.#link.close();
    this.#guest.leave(
      isHeard
        ? "The guest goes on in another VMM"
        : `The guest was given to another VMM, which did not say that it runs it: ${this.handOver}`,
    );
    this.#host.done(undefined, this.#result(isHeard));
  }

  /** It ran elsewhere, or may have, and lacks memory there: it is to run nowhere. */
  #lost(reason: string): void {
    const isHeard = this.#phase === "post-copying";
    this.#deadline.clear();
    this.#cancelTimeout();
    this.#phase = "over";
    this.#copy!.close({ served: true });
    this.#link.close();
    this.#guest.strand(`It was given to another VMM, where its memory did not all come: ${reason}`);
    const missingBytes = this.#following!.leftBytes;
    this.#host.done(undefined, { ...this.#result(isHeard), missingBytes });
  }

  #result(isHeard: boolean): SendResult {
    return { ...resultOf(this.#copy, this.#following), handOver: this.handOver, isHeard };
  }

  /** The guest goes on here, if it has not been given away. */
  #fail(reason: string): void {
    const phase = this.#phase;
    if (this.#isGiven || phase === "ending" || phase === "over") return;
    this.#phase = "ending";
    this.#error = new Error(`Cannot send the guest: ${reason}`);
    this.#deadline.clear();
    this.#cancelTimeout();
    this.#copy?.giveUp();
    const isMoving = this.#copy?.isMoving ?? false;
    // In the middle of the mover's stream, the other side would not understand it.
    if (isMoving && !this.#isStreamOver) return this.#link.end();
    this.#link.say("failed", encodeReason("the sender keeps the guest"));
    if (!isMoving) this.#end();
  }

  #end(): void {
    this.#phase = "over";
    this.#record?.discard();
    this.#record = undefined;
    this.#link.close();
    this.#copy?.close({ served: false });
    this.#host.done(this.#error, this.#result(false));
  }

  #tell(): void {
    const phase = this.#phase;
    if (phase === "ending" || phase === "over") return;
    const { progress, wireBytes } = this.#copy!;
    const told = { phase, ...progress, wireBytes };
    const following = this.#following;
    this.#host.progress(following === undefined ? told : withFollowing(told, following));
  }
}
