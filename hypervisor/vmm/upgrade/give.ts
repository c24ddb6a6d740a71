/**
 * Hands a running guest over to another VMM of the same host, one of another version: RAM is not copied,
 * for both have the same file, and what the guest has open goes along (`held.ts`).
 *
 * | phase      | what                                                              | if the other is gone |
 * | ---------- | ----------------------------------------------------------------- | -------------------- |
 * | `greeting` | the other looks whether it can take the guest                     | the guest runs on    |
 * | `moving`   | what of RAM is in no file is sent while the guest runs; then the instant | the guest goes on |
 * | `asking`   | the other has the state, and makes a machine of it                | the guest goes on    |
 * | `giving`   | it was told that it may; once it says that it runs it, it does    | the guest goes on    |
 * | `over`     | the other runs it; or it was given up, and it runs here           |                      |
 *
 * Nothing has to be written down. A socket of one host loses nothing of what was said, whoever is killed: who
 * is gone without having said `runs` has run nothing. And the other, once it has all of the state, takes the
 * guest also where this process is gone without having said `failed`, which it says before the guest goes on
 * here: see `take.ts`.
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import type { Sections } from "../../machine/arena.ts";
import { mappedLength } from "../../machine/ram.ts";
import { MAX_PASSED } from "../../sys/passed_descriptors.ts";
import { connectUnix, send, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import type { DeviceSpec } from "../device_specs.ts";
import type { EventLoop } from "../event_loop.ts";
import { decodeReason, encodeFrame, encodeReason, type Frame } from "../migrate/frames.ts";
import { Link } from "../migrate/link.ts";
import { Deadline, newHandOver, NOTHING_COPIED } from "../migrate/outgoing.ts";
import { LiveCopy } from "../snapshot/live_copy.ts";
import { encodeGuest, encodeRegisters } from "../snapshot/saved_guest.ts";
import type { CopyFigures, SavableGuest } from "../snapshot/saving.ts";
import { FORMAT_VERSION } from "../spoken_versions.ts";
import { encodeGreeting, encodeStanding, type RamKind, UPGRADE_VERSION } from "./greeting.ts";
import { heldBy, namesOf } from "./held.ts";
import { Instant } from "./instant.ts";

/** How long the other may take to say whether it can, in milliseconds. */
const WELCOME_MS = 60_000;
/** How long it may take to make the machine, while the guest stands still, in milliseconds. */
const READY_MS = 10_000;

/** The guest as this needs it. */
export interface UpgradableGuest extends SavableGuest {
  readonly cpuids: CpuidEntry[][];
  /** With what is plugged in now. */
  readonly devices: readonly DeviceSpec[];
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Why it would not run even so; null where it would. */
  readonly pausedFor: string | null;
  /** The registers of its devices, as they happen to be while it runs. */
  readonly registers: Sections;
  /** What its serial port sent last. */
  readonly serial: Uint8Array<ArrayBuffer>;
  /** Frees what only one of the two can have; it can still go on here, by `release`. */
  letGo(): void;
  /** It is the other VMM's: it ends here. */
  leave(message: string): void;
}

export interface UpgradeProgress {
  phase: "greeting" | "moving" | "asking" | "giving";
  doneBytes: number;
  totalBytes: number;
}

export interface UpgradeHost {
  progress(progress: UpgradeProgress): void;
  /** It is over: with an error, the guest goes on here. */
  done(error: Error | undefined, result: CopyFigures & { handOver: string }): void;
}

export class Upgrade {
  /** Names this hand-over on both sides. */
  readonly handOver = newHandOver();
  readonly #guest: UpgradableGuest;
  readonly #loop: EventLoop;
  readonly #host: UpgradeHost;
  readonly #ram: RamKind;
  /** What the other was told of, as text to compare. */
  readonly #held: string;
  readonly #link: Link;
  readonly #deadline: Deadline;
  #phase: UpgradeProgress["phase"] | "ending" | "over" = "greeting";
  #copy: LiveCopy | Instant | undefined;
  #error: Error | undefined;

  /** Throws where nobody listens, or where the guest cannot be handed over. */
  constructor(
    guest: UpgradableGuest,
    options: { socket: string; loop: EventLoop; host: UpgradeHost },
  ) {
    const { memory, config, cpuids } = guest;
    this.#guest = guest;
    this.#loop = options.loop;
    this.#host = options.host;
    this.#deadline = new Deadline(options.loop);
    this.#ram = memory.copied ? "copied" : memory.fd === undefined ? "private" : "shared";
    const held = heldBy(guest.devices);
    const names = namesOf(held);
    this.#held = JSON.stringify([...held]);
    this.#link = new Link(connectUnix(options.socket), {
      loop: options.loop,
      host: {
        frame: (frame) => this.#attempt(() => this.#answered(frame)),
        broken: (error, isGone) => this.#broken(error, isGone),
      },
    });
    const { handOver } = this;
    const versions = { protocol: UPGRADE_VERSION, format: FORMAT_VERSION };
    const known = { ...versions, handOver, config, plugged: guest.plugged, cpuids };
    this.#link.say("hello", encodeGreeting({ ...known, ram: this.#ram, held: names }));
    const fds = [...held.values()].flatMap(({ fds }) => fds);
    if (this.#ram !== "private") fds.unshift(memory.fd!);
    for (let i = 0; i < fds.length; i += MAX_PASSED) {
      this.#link.say("files", undefined, fds.slice(i, i + MAX_PASSED));
    }
    // Also so that what encodes is loaded, which the guest would have to wait for otherwise.
    this.#link.say("registers", encodeRegisters(guest.registers));
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

  /** Nobody is waited for but the other VMM. */
  go(): void {}

  /** Gives it up, if that still can be. */
  cancel(reason: string): void {
    this.#fail(reason);
  }

  #attempt(action: () => void): void {
    if (this.#phase === "ending" || this.#phase === "over") return;
    try {
      action();
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  /** Something is to have happened before so long. */
  #within(ms: number, why: string): void {
    this.#deadline.set(ms, () => this.#fail(why));
  }

  #answered({ kind, body }: Frame): void {
    switch (`${this.#phase} ${kind}`) {
      case "greeting failed":
      case "moving failed":
      case "asking failed":
        throw new Error(decodeReason(body));
      case "greeting welcome":
        return this.#move();
      case "asking ready":
        this.#guest.letGo();
        // It cannot be taken back any more, and there is nothing to wait for but one word.
        this.#deadline.clear();
        this.#phase = "giving";
        this.#link.say("go");
        return this.#tell();
      case "giving runs":
        return this.#gone();
      default:
        throw new Error(`the other VMM says "${kind}" where nobody asked`);
    }
  }

  #move(): void {
    this.#deadline.clear();
    this.#phase = "moving";
    this.#tell();
    const loop = this.#loop;
    if (this.#ram === "shared") {
      this.#copy = new Instant(this.#guest, {
        loop,
        host: { taken: () => this.#ask(), failed: (error) => this.#fail(error.message) },
      });
      return;
    }
    this.#copy = new LiveCopy(this.#guest, {
      loop,
      task: { kind: "stream", fd: this.#link.fd, beside: true },
      host: {
        tick: () => this.#tell(),
        taken: () => {},
        // The state follows when the mover has left the connection.
        copied: () => {},
        failed: (error) => this.#fail(error.message),
        ended: (error) => this.#moved(error),
      },
    });
  }

  #moved(error: Error | undefined): void {
    if (this.#phase === "ending") return this.#end();
    if (error !== undefined) return this.#fail(error.message);
    this.#attempt(() => this.#ask());
  }

  #ask(): void {
    const { devices, startedAt, pausedFor, serial, memory } = this.#guest;
    if (JSON.stringify([...heldBy(devices)]) !== this.#held) {
      throw new Error("a device came or went meanwhile");
    }
    this.#phase = "asking";
    const length = mappedLength(memory);
    this.#link.say("serial", serial);
    this.#link.say("standing", encodeStanding({ startedAt, pausedFor: pausedFor ?? undefined }));
    this.#link.say("state", encodeGuest({ ...this.#copy!.captured, memory: { length } }));
    this.#within(READY_MS, "the other VMM does not get ready");
    this.#tell();
  }

  #broken(error: Error, isGone: boolean): void {
    if (this.#phase !== "giving") return this.#fail(error.message);
    // What it said is no word of ours: it may do whatever it likes with the guest.
    if (!isGone) return this.#gone();
    this.#giveUp("the other VMM has gone");
  }

  /** The guest is not this VMM's any more. */
  #gone(): void {
    this.#deadline.clear();
    this.#phase = "over";
    this.#copy!.close({ served: true });
    this.#link.close();
    this.#guest.leave("The guest goes on in another VMM of this host");
    this.#host.done(undefined, this.#result);
  }

  get #result() {
    return { ...this.#copy?.figures ?? NOTHING_COPIED, handOver: this.handOver };
  }

  /** The guest goes on here, if it has not been given away. */
  #fail(reason: string): void {
    const phase = this.#phase;
    if (phase === "giving" || phase === "ending" || phase === "over") return;
    this.#giveUp(reason);
  }

  #giveUp(reason: string): void {
    this.#phase = "ending";
    this.#error = new Error(`Cannot upgrade the guest: ${reason}`);
    this.#deadline.clear();
    if (this.#copy?.isMoving) {
      // In the middle of the mover's stream, the other side would not understand a word.
      this.#copy.giveUp();
      return this.#link.end();
    }
    this.#takeBack(reason);
  }

  /** Before the guest goes on here, the other knows that it does not go on there. */
  #takeBack(reason: string): void {
    // Without all of the state, the other could not.
    if (this.#link.isFlushed && !isSaid(this.#link.fd, reason)) {
      this.#loop.after(1, () => this.#takeBack(reason));
      return;
    }
    this.#copy?.giveUp();
    this.#end();
  }

  #end(): void {
    this.#phase = "over";
    this.#link.close();
    this.#copy?.close({ served: false });
    this.#host.done(this.#error, this.#result);
  }

  #tell(): void {
    const phase = this.#phase;
    if (phase === "ending" || phase === "over") return;
    const copy = this.#copy;
    const { doneBytes, totalBytes } = copy instanceof LiveCopy
      ? copy.progress
      : { doneBytes: 0, totalBytes: 0 };
    this.#host.progress({ phase, doneBytes, totalBytes });
  }
}

/** Says `failed`; false where there is no room for it now. Who is gone hears nothing, and does nothing. */
function isSaid(fd: number, reason: string): boolean {
  try {
    return send(fd, encodeFrame("failed", encodeReason(reason))) !== WOULD_BLOCK;
  } catch {
    return true;
  }
}
