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
 * Who says `take_over` has seen the sender's file in which it is written down, and knows that the sender
 * will never run the guest again.
 *
 * @module
 */
import { Kvm } from "../../kvm/kvm.ts";
import { checkCpu } from "../../machine/cpu/compatibility.ts";
import { physicalBits } from "../../machine/cpu/cpuid.ts";
import { drain } from "../../sys/eventfd.ts";
import { close } from "../../sys/files.ts";
import { readPseudoFile } from "../../sys/pseudo_files.ts";
import { accept, WOULD_BLOCK } from "../../sys/unix_sockets.ts";
import { ConfigError } from "../config/fields.ts";
import { checkHostMemory } from "../config/guest.ts";
import type { GuestConfig, ReceivingPhase } from "../control.ts";
import { GuestCpus } from "../cpu_setup.ts";
import { closeDevice, openDevices, openPlugged } from "../device_specs.ts";
import { listenForHost } from "../device_sockets.ts";
import type { EventLoop } from "../event_loop.ts";
import type { Guest, RestoreOptions } from "../guest.ts";
import { type PreparedMachine, prepareMachine } from "../machine_restore.ts";
import { checkAffinity, openGuestRam } from "../memory_setup.ts";
import { Mover } from "../mover.ts";
import { checkVersion } from "../snapshot/format.ts";
import { configFor, differs } from "../snapshot/restore.ts";
import { decodeGuest, type SavedGuest } from "../snapshot/saved_guest.ts";
import type { VcpuThreads } from "../vcpu_threads.ts";
import {
  decodeHello,
  decodeReason,
  encodeReason,
  type Frame,
  type Hello,
  MigrationError,
} from "./frames.ts";
import { Link } from "./link.ts";

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
  readonly #loop: EventLoop;
  #listener: number;
  #link: Link | undefined;
  #mover: Mover | undefined;
  #phase: ReceivingPhase = "listening";
  #prepared: Prepared | undefined;
  #saved: SavedGuest | undefined;
  #error: Error | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#loop = options.loop;
    this.#listener = listenForHost(options.socket);
    this.#loop.watch(this.#listener, () => this.#accept());
  }

  get phase(): ReceivingPhase {
    return this.#phase;
  }

  /** Names the hand-over, once somebody has said so. */
  get handOver(): string | undefined {
    return this.#prepared?.hello.handOver;
  }

  /** Goes round until all has come that a machine is made of; throws an error that says why it has not. */
  receive(): { config: GuestConfig; restore: RestoreOptions } {
    this.#until(() => this.#saved !== undefined);
    const { config, machine } = this.#prepared!;
    const snapshot = { saved: this.#saved!, machine };
    return { config, restore: { snapshot, identity: this.#options.identity, isHeld: true } };
  }

  /** The machine cannot be made; the sender is told. */
  refuse(error: Error): void {
    this.#link?.say("failed", encodeReason(error.message));
    this.#link?.close();
  }

  /** Says that the machine stands, and goes round until the guest is this VMM's. Throws where it will not be. */
  takeOver(guest: Guest): void {
    this.#until(() => guest.isParked || guest.end !== undefined);
    if (guest.end !== undefined) throw new Error(guest.end.message);
    this.#phase = "ready";
    this.#link!.say("ready");
    this.#until(() => this.#phase === "taken");
    guest.takeOver(this.#options.identity);
    this.#link!.say("runs");
    this.#link!.close();
  }

  /** Somebody knows that the sender has given the guest away: it is this VMM's. */
  decide(handOver: string): void {
    if (this.#phase !== "undecided") {
      throw new Error(
        `Cannot take the guest over: it is not undecided whose it is, but ${this.#phase}`,
      );
    }
    if (handOver !== this.handOver) {
      throw new Error(`Cannot take the guest over: this is hand-over ${this.handOver}`);
    }
    this.#phase = "taken";
  }

  #until(isDone: () => boolean): void {
    const { isStopping } = this.#options;
    this.#loop.run(() => isDone() || this.#error !== undefined || isStopping());
    // Its thread fills memory, and reads from the connection.
    if (!isDone()) this.#mover?.cancel();
    this.#loop.run(() => this.#mover === undefined);
    if (isDone()) return;
    const error = this.#error ?? new Error("Cannot receive the guest: it was told to end");
    this.refuse(error);
    this.#stopListening();
    throw error;
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
    this.#phase = "greeting";
    this.#link = new Link(fd, {
      loop: this.#loop,
      host: {
        frame: (frame) => this.#attempt(() => this.#frame(frame)),
        broken: (error) => this.#broken(error),
      },
    });
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#error ??= error as Error;
    }
  }

  #broken(error: Error): void {
    if (this.#phase === "ready") {
      this.#phase = "undecided";
      this.#options.log(
        `Whether the guest is this VMM's is not decided: ${error.message} (${this.handOver})`,
      );
    } else if (this.#phase !== "taken") {
      this.#error ??= new Error(`Cannot receive the guest: ${error.message}`);
    }
  }

  #frame({ kind, body }: Frame): void {
    if (kind === "failed") throw new Error(`Cannot receive the guest: ${decodeReason(body)}`);
    switch (`${this.#phase} ${kind}`) {
      case "greeting hello":
        return this.#greeted(decodeHello(body));
      case "receiving state":
        return this.#build(body);
      case "ready go":
        this.#phase = "taken";
        return;
      default:
        throw new MigrationError(`Cannot understand the other VMM: "${kind}" while ${this.#phase}`);
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
    this.#awaitThreads(machine.pc, config.cpus);
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

  /** The guest is not to wait for what takes longest: its vCPUs' threads. */
  #awaitThreads({ life, wakeIoFd }: PreparedMachine["pc"], cpus: number): void {
    this.#loop.watch(wakeIoFd, () =>
      this.#attempt(() => {
        drain(wakeIoFd);
        if (life.hasEnded) throw new Error(`Cannot receive the guest: ${life.message}`);
        if (life.parked < cpus || this.#phase !== "greeting") return;
        this.#loop.unwatch(wakeIoFd);
        this.#welcome();
      }));
  }

  #welcome(): void {
    this.#phase = "receiving";
    this.#link!.say("welcome");
    this.#link!.lend();
    this.#mover = new Mover(this.#loop, {
      memory: this.#prepared!.machine.memory,
      task: { kind: "receive", fd: this.#link!.fd },
      ended: (error) => {
        this.#mover = undefined;
        if (error === undefined) return this.#link!.giveBack();
        this.#error ??= error;
      },
    });
  }

  #build(state: Uint8Array<ArrayBuffer>): void {
    this.#phase = "building";
    const saved = decodeGuest(state);
    const difference = differs(this.#prepared!.hello.config, saved.config);
    if (difference !== undefined) {
      throw new ConfigError(
        `Cannot receive the guest: ${difference} is another than it was said to be`,
      );
    }
    configFor(saved, { given: this.#options.config, what: "receive the guest" });
    this.#saved = saved;
  }
}
