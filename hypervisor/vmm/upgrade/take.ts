/**
 * Takes a guest over from another VMM of the same host: the other side of `give.ts`.
 *
 * | phase       | what                                                            | if the other is gone |
 * | ----------- | --------------------------------------------------------------- | -------------------- |
 * | `listening` | nobody has come yet                                             |                      |
 * | `greeting`  | the other says what is to come; all that can be made is         | this VMM ends        |
 * | `receiving` | what of RAM is in no file comes, and the state behind it        | this VMM ends        |
 * | `building`  | a machine is made of it, whose devices touch nothing yet        | the guest runs here  |
 * | `ready`     | the other knows that the guest could run here                   | the guest runs here  |
 * | `taken`     | the guest runs                                                  | it runs on           |
 *
 * Before the other lets a guest go on whose state it has sent, it says `failed`. So one that is gone without
 * has not, and never will: its guest stands still as the state has it.
 *
 * @module
 */
import { Kvm } from "../../kvm/kvm.ts";
import { checkCpu } from "../../machine/cpu/compatibility.ts";
import { physicalBits } from "../../machine/cpu/cpuid.ts";
import { mappedLength, type MemorySpec } from "../../machine/ram.ts";
import { length } from "../../sys/files.ts";
import { ConfigError } from "../config/fields.ts";
import type { GuestConfig, ReceivingPhase } from "../control.ts";
import { GuestCpus } from "../cpu_setup.ts";
import { openDevices } from "../device_specs.ts";
import type { EventLoop } from "../event_loop.ts";
import type { Guest, RestoreOptions } from "../guest.ts";
import { type PreparedMachine, prepareMachine } from "../machine_restore.ts";
import { checkAffinity, openGuestRam, ramOptions } from "../memory_setup.ts";
import { decodeReason, type Frame, MigrationError } from "../migrate/frames.ts";
import { Incoming } from "../migrate/incoming.ts";
import { checkVersion } from "../snapshot/format.ts";
import { differs } from "../snapshot/restore.ts";
import { decodeGuest, decodeRegisters, type SavedGuest } from "../snapshot/saved_guest.ts";
import type { VcpuThreads } from "../vcpu_threads.ts";
import {
  decodeGreeting,
  decodeStanding,
  descriptorsOf,
  type Greeting,
  type Standing,
} from "./greeting.ts";
import { type Held, heldFrom } from "./held.ts";

export interface TakerOptions {
  /** The unix socket to listen on, for one VMM. */
  socket: string;
  loop: EventLoop;
  /** Whether this VMM is to end. */
  isStopping(): boolean;
  /** The vCPUs', of which one is there. */
  threads: VcpuThreads;
  log(line: string): void;
}

/** What stands ready before the guest is stopped. */
interface Prepared {
  machine: PreparedMachine;
  held: Held;
}

export class Taker {
  readonly #options: TakerOptions;
  readonly #incoming: Incoming;
  #greeting: Greeting | undefined;
  /** In the order in which they come: RAM's file, if there is one, and what devices hold. */
  readonly #descriptors: number[] = [];
  #prepared: Prepared | undefined;
  /** It is known that this version can read what the other's devices have. */
  #canRead = false;
  /** The vCPUs' threads have their machine. */
  #areThere = false;
  #standing: Standing | undefined;
  #saved: SavedGuest | undefined;
  /** The other VMM will never run the guest again. */
  #isOurs = false;
  /** What the guest's serial port has sent last. */
  serial: Uint8Array<ArrayBuffer> = new Uint8Array();

  constructor(options: TakerOptions) {
    const { socket, loop, isStopping } = options;
    this.#options = options;
    this.#incoming = new Incoming({
      ...{ socket, loop, isStopping, action: "take the guest over" },
      descriptors: this.#descriptors,
      frame: (frame) => this.#frame(frame),
      broken: (error, isGone) => this.#broken(error, isGone),
    });
  }

  get phase(): ReceivingPhase {
    return this.#incoming.phase;
  }

  /** Names the hand-over, once somebody has said so. */
  get handOver(): string | undefined {
    return this.#greeting?.handOver;
  }

  /** Nobody has to: see above. */
  decide(): void {
    throw new Error("Cannot take the guest over: that is between this VMM and the other");
  }

  /** Goes round until all has come that a machine is made of; throws an error that says why it has not. */
  receive(): { config: GuestConfig; restore: RestoreOptions } {
    this.#incoming.until(() => this.#saved !== undefined);
    const { config } = this.#greeting!;
    const snapshot = { saved: this.#saved!, ...this.#prepared! };
    return {
      config,
      restore: { snapshot, identity: "same", isHeld: true, ...this.#standing },
    };
  }

  /** The machine cannot be made; the other VMM is told. */
  refuse(error: Error): void {
    this.#incoming.refuse(error);
  }

  /** Says that the machine stands, and goes round until the guest is this VMM's. Throws where it will not be. */
  takeOver(guest: Guest): void {
    const incoming = this.#incoming;
    incoming.untilParked(guest);
    incoming.phase = "ready";
    const { link } = incoming;
    link.say("ready");
    incoming.until(() => this.#isOurs);
    // It runs nowhere else, and has to run somewhere: nothing is looked at any more but that this is said.
    link.say("runs");
    this.#options.loop.run(() => link.isFlushed || !link.isOpen);
    incoming.phase = "taken";
    guest.takeOver("same");
    link.close();
  }

  #broken(error: Error, isGone: boolean): void {
    if (this.#isOurs) return;
    const { error: earlier } = this.#incoming;
    if (!isGone || this.#saved === undefined || earlier !== undefined) {
      this.#incoming.fail(new Error(`Cannot take the guest over: ${error.message}`));
      return;
    }
    this.#isOurs = true;
    this.#options.log("The VMM that handed the guest over ended before it said so");
  }

  #frame({ kind, body }: Frame): void {
    if (kind === "failed") throw new Error(`Cannot take the guest over: ${decodeReason(body)}`);
    switch (`${this.phase} ${kind}`) {
      case "greeting hello":
        return this.#greeted(decodeGreeting(body));
      case "greeting files":
        return this.#prepare();
      case "greeting registers":
        return this.#tryOut(body);
      case "receiving serial":
        this.serial = body;
        return;
      case "receiving standing":
        this.#standing = decodeStanding(body);
        return;
      case "receiving state":
        return this.#build(body);
      case "ready go":
        this.#isOurs = true;
        return;
      default:
        throw new MigrationError(`Cannot understand the other VMM: "${kind}" while ${this.phase}`);
    }
  }

  #greeted(greeting: Greeting): void {
    if (this.#greeting !== undefined) {
      throw new MigrationError("Cannot understand the other VMM: it greets twice");
    }
    checkVersion(greeting.format);
    this.#greeting = greeting;
    this.#prepare();
  }

  /** Once all that is open has come: whether the guest can run here is known before it is stopped. */
  #prepare(): void {
    const greeting = this.#greeting;
    if (greeting === undefined || this.#descriptors.length < descriptorsOf(greeting)) return;
    const { config, cpuids, ram } = greeting;
    const { threads } = this.#options;
    threads.prepare(config.cpus);
    checkAffinity(config);
    const kvm = Kvm.open();
    const cpus = new GuestCpus(kvm, config);
    cpuids.forEach((cpuid, id) => checkCpu(cpuid, cpus.cpuid(id, 0)));
    const fds = this.#descriptors.slice();
    const ramFd = ram === "private" ? undefined : fds.shift();
    const held = heldFrom(greeting.held, fds);
    const devices = openDevices(config, { held });
    const memory = this.#openRam(ramFd);
    const [shown] = cpuids;
    const machine = prepareMachine(kvm, config, { shown, cpus, memory, devices, threads });
    this.#prepared = { machine, held };
    // Before the guest is stopped for it, the vCPUs' threads have their machine too.
    this.#incoming.awaitThreads(machine.pc, config.cpus, () => {
      this.#areThere = true;
      this.#welcome();
    });
  }

  /** Registers as they happen to be: of the same layouts as those that the guest will stand still with. */
  #tryOut(registers: Uint8Array<ArrayBuffer>): void {
    if (this.#prepared === undefined) {
      throw new MigrationError("Cannot understand the other VMM: not all that is open has come");
    }
    this.#prepared.machine.pc.arena.load(decodeRegisters(registers));
    this.#canRead = true;
    this.#welcome();
  }

  /** Once nothing is left to be done for which the guest need not be stopped. */
  #welcome(): void {
    if (!this.#canRead || !this.#areThere) return;
    this.#incoming.phase = "receiving";
    this.#incoming.link.say("welcome");
    const { machine } = this.#prepared!;
    if (this.#greeting!.ram !== "shared") this.#incoming.receiveRam(machine.memory);
  }

  #openRam(fd: number | undefined): MemorySpec {
    const { config, cpuids, ram } = this.#greeting!;
    const options = { physicalBits: physicalBits(cpuids[0]), log: this.#options.log };
    if (fd === undefined) return openGuestRam(config, options);
    const least = ram === "copied" ? ramOptions(config).length : undefined;
    // Beyond its end there is nothing, and an access would be the end of this VMM.
    if (least !== undefined && length(fd) < least) throw tooShort(fd, least);
    if (ram === "copied") return openGuestRam(config, { ...options, savedFd: fd });
    const spec = openGuestRam(config, { ...options, sharedFd: fd });
    if (length(fd) < mappedLength(spec)) throw tooShort(fd, mappedLength(spec));
    return spec;
  }

  #build(state: Uint8Array<ArrayBuffer>): void {
    this.#incoming.phase = "building";
    const saved = decodeGuest(state);
    const difference = differs(this.#greeting!.config, saved.config, { mayDiffer: { "": [] } });
    if (difference !== undefined) {
      throw new ConfigError(
        `Cannot take the guest over: ${difference} is another than it was said to be`,
      );
    }
    this.#saved = saved;
  }
}

function tooShort(fd: number, least: number): RangeError {
  return new RangeError(
    `Cannot take the guest over: its memory has ${length(fd)} bytes, and should have ${least}`,
  );
}
