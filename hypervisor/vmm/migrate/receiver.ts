/**
 * Takes a guest from another VMM, such that never both run it: the other side of `send.ts`.
 *
 * | phase       | what                                                            | if the link breaks       |
 * | ----------- | --------------------------------------------------------------- | ------------------------ |
 * | `listening` | nobody has come yet                                             |                          |
 * | `greeting`  | the sender says what is to come; a machine is made that waits for it | this VMM ends      |
 * | `receiving` | RAM comes, and the state behind it                              | this VMM ends            |
 * | `building`  | the machine gets its state; its devices touch nothing yet       | this VMM ends            |
 * | `ready`     | the sender knows that the guest could run here                  | `undecided`              |
 * | `undecided` | whether the sender has given the guest away, others have to say | until `take_over` or end |
 * | `taken`     | the guest runs                                                  | it runs on               |
 *
 * Where memory follows the guest (`arrival.ts`), a link that breaks before the last page has come is the end of
 * this VMM in each of these: nobody else has that page, so there is nothing to be undecided about.
 *
 * Who says `take_over` has seen the sender's file in which it is written down, and knows that the sender
 * will never run the guest again. Nothing runs without the locks on its disks, which the sender lets go of
 * before it says `go`: where somebody else has one, the guest stays `undecided`.
 *
 * @module
 */
import { Kvm } from "../../kvm/kvm.ts";
import type { MemorySpec } from "../../machine/ram.ts";
import { checkCpu } from "../../machine/cpu/compatibility.ts";
import { physicalBits } from "../../machine/cpu/cpuid.ts";
import { readPseudoFile } from "../../sys/pseudo_files.ts";
import { ConfigError } from "../config/fields.ts";
import { checkHostMemory } from "../config/guest.ts";
import type { GuestConfig, ReceivingPhase } from "../control.ts";
import { GuestCpus } from "../cpu_setup.ts";
import { closeDevice, openDevices, openPlugged, takeDisks } from "../device_specs.ts";
import type { EventLoop } from "../event_loop.ts";
import type { Guest, RestoreOptions } from "../guest.ts";
import { type PreparedMachine, prepareMachine } from "../machine_restore.ts";
import { checkAffinity, openGuestRam } from "../memory_setup.ts";
import { checkVersion } from "../snapshot/format.ts";
import { configFor, differs } from "../snapshot/restore.ts";
import { decodeGuest, type SavedGuest } from "../snapshot/saved_guest.ts";
import type { VcpuThreads } from "../vcpu_threads.ts";
import {
  decodeHello,
  decodeReason,
  encodeWelcome,
  type Frame,
  type Hello,
  MigrationError,
  type Welcome,
} from "./frames.ts";
import { Arrival, whyNotFollow } from "./arrival.ts";
import { Incoming } from "./incoming.ts";

/** How long it may take to say that nothing more is needed, in milliseconds. */
const GOODBYE_MS = 3000;

export interface ReceiverOptions {
  /** The unix socket to listen on, for one sender. */
  socket: string;
  /** What the guest's devices are to stand on here; as on the other host without. */
  config?: unknown;
  identity: RestoreOptions["identity"];
  loop: EventLoop;
  /** Whether this VMM is to end. */
  isStopping(): boolean;
  threads: VcpuThreads;
  /** The file in which it is written why this VMM ended. */
  lastWord: string;
  log(line: string): void;
}

/** What stands ready before the first page. */
interface Prepared {
  hello: Hello;
  config: GuestConfig;
  machine: PreparedMachine;
}

export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #incoming: Incoming;
  #prepared: Prepared | undefined;
  /** Where memory may follow. */
  #arrival: Arrival | undefined;
  /** It does. */
  #isFollowed = false;
  /** The machine that stands, before the guest is this VMM's. */
  #waiting: Guest | undefined;
  #guest: Guest | undefined;
  #saved: SavedGuest | undefined;

  constructor(options: ReceiverOptions) {
    const { socket, loop, isStopping } = options;
    this.#options = options;
    this.#incoming = new Incoming({
      ...{ socket, loop, isStopping, action: "receive the guest" },
      frame: (frame) => this.#frame(frame),
      broken: (error) => this.#broken(error),
    });
  }

  get phase(): ReceivingPhase {
    return this.#incoming.phase;
  }

  /** Names the hand-over, once somebody has said so. */
  get handOver(): string | undefined {
    return this.#prepared?.hello.handOver;
  }

  /** Goes round until all has come that a machine is made of; throws an error that says why it has not. */
  receive(): { config: GuestConfig; restore: RestoreOptions } {
    this.#incoming.until(() => this.#saved !== undefined);
    const { config, machine } = this.#prepared!;
    const snapshot = { saved: this.#saved!, machine };
    return { config, restore: { snapshot, identity: this.#options.identity, isHeld: true } };
  }

  /** The machine cannot be made; the sender is told. */
  refuse(error: Error): void {
    this.#incoming.refuse(error);
  }

  /** Says that the machine stands, and goes round until the guest is this VMM's. Throws where it will not be. */
  takeOver(guest: Guest): void {
    const incoming = this.#incoming;
    incoming.untilParked(guest);
    incoming.phase = "ready";
    this.#waiting = guest;
    incoming.say("ready");
    incoming.until(() => this.phase === "taken");
    // Both may have been said at once, and then it has not run.
    if (this.#arrival?.isLost) throw incoming.error!;
    this.#guest = guest;
    guest.isArriving = this.#isFollowed;
    guest.takeOver(this.#options.identity);
    incoming.say("runs");
    if (!this.#isFollowed) incoming.link.close();
  }

  /** What is still to come of its memory, nobody needs any more. */
  ended(): void {
    if (!this.#isFollowed) return;
    this.#arrival!.say("arrived");
    let isLate = false;
    this.#options.loop.after(GOODBYE_MS, () => isLate = true);
    this.#options.loop.run(() => !this.#isFollowed || isLate);
  }

  /** Somebody knows that the sender has given the guest away: it is this VMM's. */
  decide(handOver: string): void {
    if (this.phase !== "undecided") {
      throw new Error(
        `Cannot take the guest over: it is not undecided whose it is, but ${this.phase}`,
      );
    }
    if (handOver !== this.handOver) {
      throw new Error(`Cannot take the guest over: this is hand-over ${this.handOver}`);
    }
    this.#takeDisks();
    this.#incoming.phase = "taken";
  }

  /** Throws where another has one: what they have locked, no host runs but this one. */
  #takeDisks(): void {
    const { machine: { pc } } = this.#prepared!;
    takeDisks([...pc.spec.devices, ...this.#waiting!.hotplug.specs()]);
  }

  /** The guest is this VMM's. Where a disk is not, it waits for somebody to say so once more, and is not lost. */
  #go(): void {
    try {
      this.#takeDisks();
      this.#incoming.phase = "taken";
    } catch (error) {
      if (this.#isFollowed) throw error;
      this.#incoming.phase = "undecided";
      this.#incoming.link.close();
      this.#options.log(`The guest was given to this VMM, and waits: ${(error as Error).message}`);
    }
  }

  #broken(error: Error): void {
    if (this.#isFollowed) return this.#lost(error.message);
    if (this.phase === "ready") {
      this.#incoming.phase = "undecided";
      this.#options.log(
        `Whether the guest is this VMM's is not decided: ${error.message} (${this.handOver})`,
      );
    } else if (this.phase !== "taken") {
      this.#incoming.fail(new Error(`Cannot receive the guest: ${error.message}`));
    }
  }

  #frame({ kind, body }: Frame): void {
    if (kind === "failed") {
      if (this.#isFollowed) return this.#lost(decodeReason(body));
      throw new Error(`Cannot receive the guest: ${decodeReason(body)}`);
    }
    switch (`${this.phase} ${kind}`) {
      case "greeting hello":
        return this.#greeted(decodeHello(body));
      case "receiving state":
        return this.#build(body);
      case "ready go":
        return this.#go();
      case "taken arrived":
        return this.#arrived();
      default:
        throw new MigrationError(`Cannot understand the other VMM: "${kind}" while ${this.phase}`);
    }
  }

  /** Whether this host can run it is known before the first page comes. */
  #greeted(hello: Hello): void {
    if (this.#prepared !== undefined) {
      throw new MigrationError("Cannot understand the other VMM: it greets twice");
    }
    checkVersion(hello.format);
    const config = configFor(hello, { given: this.#options.config, what: "receive the guest" });
    checkHostMemory(config, readPseudoFile("/proc/meminfo"));
    checkAffinity(config);
    const { log, threads } = this.#options;
    const kvm = Kvm.open();
    const cpus = new GuestCpus(kvm, config);
    hello.cpuids.forEach((cpuid, id) => checkCpu(cpuid, cpus.cpuid(id, 0)));
    threads.prepare(config.cpus);
    const devices = openDevices(config, { unlocked: true });
    this.#tryPlugged(hello, config);
    const [shown] = hello.cpuids;
    const memory = openGuestRam(config, { physicalBits: physicalBits(shown), log });
    const machine = prepareMachine(kvm, config, { shown, cpus, memory, devices, threads });
    this.#prepared = { hello, config, machine };
    this.#incoming.awaitThreads(machine.pc, config.cpus, () => this.#welcome());
  }

  /** What is plugged in is opened when the state says what that is: here, only whether it can be. */
  #tryPlugged({ plugged }: Hello, { cpus }: GuestConfig): void {
    for (const { name, device } of plugged) {
      try {
        closeDevice(openPlugged(device, { name, cpus, unlocked: true }));
      } catch (cause) {
        throw new ConfigError((cause as Error).message, { cause });
      }
    }
  }

  #welcome(): void {
    const incoming = this.#incoming;
    const { hello, machine: { memory } } = this.#prepared!;
    incoming.phase = "receiving";
    const { postCopy = false, compress } = hello;
    const mayPack = compress?.includes("zstd") ?? false;
    // Who asks for neither may not know that there is something to ask for.
    const isAsked = postCopy || compress !== undefined;
    const answer: Welcome = {
      ...(postCopy ? this.#prepareArrival(memory) : { postCopy }),
      ...(mayPack && { compress: "zstd" }),
    };
    incoming.link.say("welcome", encodeWelcome(isAsked ? answer : undefined));
    incoming.receiveRam(memory, { following: this.#arrival?.pages.buffer, mayPack });
  }

  /** Whether memory may follow, as the sender is told. */
  #prepareArrival(memory: MemorySpec): Welcome {
    const { config, hello: { plugged } } = this.#prepared!;
    const why = whyNotFollow(config, plugged);
    if (why !== undefined) return { postCopy: false, why };
    const { loop, lastWord } = this.#options;
    const incoming = this.#incoming;
    const { hugePages = "transparent" } = config.memory ?? {};
    this.#arrival = new Arrival({
      ...{ loop, memory, lastWord, fd: incoming.link.fd, hugePages: hugePages === "transparent" },
      host: {
        frame: (frame) => incoming.attempt(() => this.#frame(frame)),
        broken: (error) => this.#broken(error),
      },
    });
    return { postCopy: true };
  }

  /** RAM has come but for what follows: before anything looks at it, that is waited for where it is touched. */
  #awaitPages({ plugged }: SavedGuest): void {
    const arrival = this.#arrival;
    if (arrival === undefined) return;
    if (arrival.leftBytes === 0) {
      this.#arrival = undefined;
      return arrival.close();
    }
    // What is plugged in may be another than it was when the sender asked.
    const why = whyNotFollow(this.#prepared!.config, plugged);
    if (why !== undefined) {
      throw new ConfigError(`Cannot receive the guest: its memory cannot follow: ${why}`);
    }
    this.#isFollowed = true;
    this.#incoming.leaveTo(arrival);
    arrival.begin();
  }

  #arrived(): void {
    this.#isFollowed = false;
    this.#guest!.isArriving = false;
    this.#arrival!.close();
    this.#incoming.link.close();
  }

  #lost(why: string): void {
    this.#isFollowed = false;
    this.#arrival!.isLost = true;
    const guest = this.#guest;
    if (guest !== undefined) return guest.loseMemory(why);
    this.#incoming.fail(new Error(`Cannot receive the guest: its memory did not all come: ${why}`));
  }

  #build(state: Uint8Array<ArrayBuffer>): void {
    this.#incoming.phase = "building";
    const saved = decodeGuest(state);
    const difference = differs(this.#prepared!.hello.config, saved.config);
    if (difference !== undefined) {
      throw new ConfigError(
        `Cannot receive the guest: ${difference} is another than it was said to be`,
      );
    }
    configFor(saved, { given: this.#options.config, what: "receive the guest" });
    this.#awaitPages(saved);
    this.#saved = saved;
  }
}
