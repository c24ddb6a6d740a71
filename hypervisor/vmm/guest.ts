/**
 * One guest: from a configuration to running vCPUs to its end. Runs in the main loop, which never
 * enters the guest itself.
 *
 * @module
 */
import { KVM_PIT_SPEAKER_DUMMY } from "../kvm/ioctls.ts";
import { Kvm } from "../kvm/kvm.ts";
import { tscKhz, Vcpu } from "../kvm/vcpu.ts";
import { TSS_ADDRESS } from "../machine/address_map.ts";
import { loadLinux } from "../machine/boot/load.ts";
import { setUpBootVcpu, setUpVcpu, writeDescriptorTables } from "../machine/cpu/setup.ts";
import type { GuestMemory } from "../machine/memory.ts";
import type { MemorySpec } from "../machine/ram.ts";
import { drain, eventfd, signal } from "../sys/eventfd.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { ConfigError } from "./config/fields.ts";
import { checkHostMemory } from "./config/guest.ts";
import type { ExitReason, GuestConfig } from "./control.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { type DeviceSpec, openDevices } from "./device_specs.ts";
import { DirtyTracking } from "./dirty_tracking.ts";
import type { EventLoop } from "./event_loop.ts";
import { Hotplug } from "./hotplug.ts";
import { checkAffinity, numaTopology, openGuestRam } from "./memory_setup.ts";
import { collectGarbage } from "./garbage.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";
import { VcpuThreads } from "./vcpu_threads.ts";
import type { VcpuSpec } from "./vcpu_worker.ts";
import { VirtioService } from "./virtio_service.ts";

/** When a guest is busy with itself after its start, in milliseconds. */
const SETTLED_MS = 10_000;
/** How long vCPUs may take to start, in milliseconds; generous, for emulated hosts. */
const START_TIMEOUT_MS = 120_000;
/** How long vCPUs may take to stop before the process ends under them, in milliseconds. */
const STOP_TIMEOUT_MS = 10_000;
/** How often a busy serial port is looked at, in milliseconds: what a person does not notice. */
const SERIAL_PERIOD_MS = 10;
/** A guest can break the protocol as often as it likes; it cannot fill a disk with that. */
const MAX_VIOLATIONS_LOGGED = 16;

/** Whatever keeps a kernel from being loaded is a matter of what was asked for. */
function load(memory: GuestMemory, options: Parameters<typeof loadLinux>[1]) {
  try {
    return loadLinux(memory, options);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

export interface GuestEnd {
  reason: ExitReason;
  message: string;
}

export interface GuestHost {
  /** The serial port sent something. */
  serial(bytes: Uint8Array<ArrayBuffer>): void;
  /** Whether it can take more of that now; where it cannot, it calls {@linkcode Guest.look} once it can. */
  takesSerial(): boolean;
  /** The serial port takes input again. */
  serialRoom(): void;
  /** Something a person should know. */
  log(line: string): void;
  /** A device that was plugged in is gone. */
  unplugged(device: string): void;
  /** The guest does not run, for this reason; null when it runs again. */
  paused(reason: string | null): void;
}

export class Guest {
  readonly config: GuestConfig;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** What comes and goes while the guest runs. */
  readonly hotplug: Hotplug;
  /** Which pages of its memory change, for those who copy it while it runs. */
  readonly tracking: DirtyTracking;
  readonly #pc: Pc;
  readonly #loop: EventLoop;
  readonly #host: GuestHost;
  readonly #service: VirtioService;
  readonly #threads: VcpuThreads;
  readonly #wakeIoFd: number;
  #end_: GuestEnd | undefined;
  #pausedFor: string | null = null;
  #violations = 0;
  #isLookingSoon = false;

  /** Sets the guest up and starts it; throws where it cannot, and then the process is to end. */
  constructor(config: GuestConfig, options: { loop: EventLoop; host: GuestHost }) {
    const { loop, host } = options;
    this.config = config;
    this.#loop = loop;
    this.#host = host;
    checkHostMemory(config, readPseudoFile("/proc/meminfo"));
    checkAffinity(config);
    const kvm = Kvm.open();
    const devices = openDevices(config);
    // A thread takes longest to start, so it does while the rest is set up.
    this.#threads = new VcpuThreads(loop);
    this.#wakeIoFd = eventfd();
    const pc = this.#pc = this.#setUp(kvm, devices);
    this.#service = new VirtioService(pc, {
      loop,
      host: {
        violated: (device, reason) => this.#violated(device, reason),
        pause: (reason) => this.pause(reason),
        resume: (reason) => this.resume(reason),
      },
    });
    this.hotplug = new Hotplug(pc, {
      cpus: config.cpus,
      stop: (transport) => this.#service.stop(transport),
      unplugged: (device) => host.unplugged(device),
      after: (ms, action) => loop.after(ms, action),
      log: (line) => host.log(line),
    });
    this.tracking = new DirtyTracking({
      memory: pc.memory,
      vmFd: pc.spec.vmFd,
      devices: () => pc.virtio.map(({ device }) => device),
    });
    loop.watch(this.#wakeIoFd, () => {
      drain(this.#wakeIoFd);
      this.look();
    });
    loop.after(START_TIMEOUT_MS, () => {
      if (pc.life.threads + pc.life.stopped < config.cpus) {
        this.#end("host", "The vCPUs' threads did not start");
      }
    });
    this.startedAt = Date.now();
    pc.life.release();
    loop.after(SETTLED_MS, () => {
      pc.life.tidy();
      pc.life.kickAll();
      collectGarbage();
    });
  }

  #setUp(kvm: Kvm, devices: DeviceSpec[]): Pc {
    const config = this.config;
    const cpus = new GuestCpus(kvm, config);
    const bits = cpus.physicalBits;
    const memory = openGuestRam(config, {
      physicalBits: bits,
      log: (line) => this.#host.log(line),
    });

    // The order matters: the interrupt chips come before vCPUs, whose local APICs come with them, and
    // before irqfds and routes, which are theirs.
    const vm = kvm.createVm();
    vm.setTssAddress(TSS_ADDRESS);
    const spec: PcSpec = {
      arena: new SharedArrayBuffer(arenaBytes(config.hotplugPorts ?? 0)),
      memory,
      vmFd: vm.fd,
      wakeIoFd: this.#wakeIoFd,
      physicalBits: bits,
      devices,
      hotplugPorts: config.hotplugPorts ?? 0,
    };
    const pc = new Pc(spec, {
      ended: (reason) => this.#end(reason, ""),
      serialReady: () => signal(this.#wakeIoFd),
    });
    pc.life.hold();
    vm.createIrqchip();
    vm.createPit(KVM_PIT_SPEAKER_DUMMY);
    pc.powerOn();
    const fds = Array.from({ length: config.cpus }, (_, id) => vm.createVcpu(cpus.apicId(id)));
    const runSize = kvm.runSize();
    // The first thread builds its devices while the kernel is loaded here; then it is let in.
    this.#threads.start(
      fds.map((fd, id): VcpuSpec => ({
        pc: spec,
        id,
        fd,
        runSize,
        cpus: config.cpuAffinity?.[id],
      })),
    );

    const boot = load(pc.memory, {
      ...config,
      physicalBits: bits,
      topology: cpus.topology,
      numa: numaTopology(config),
      log: (line) => this.#host.log(line),
    });
    writeDescriptorTables(pc.memory, boot.mode);
    pc.memory.slots.forEach((region, slot) =>
      vm.setMemoryRegion(slot, {
        guest: region.guest,
        size: region.length,
        host: memory.address + region.offset,
      })
    );
    // All of them here, before the first one runs: one whose TSC were set a second later would be
    // another clock than the others'. So a vCPU's thread need not be there when the first starts.
    fds.forEach((fd, id) => {
      const vcpu = new Vcpu(fd);
      setUpVcpu(vcpu, cpus.cpuid(id, tscKhz(fd)), { synic: cpus.synic });
      if (id === 0) setUpBootVcpu(vcpu, boot);
      vcpu.unmaskSignalsInGuest();
    });
    return pc;
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

  /** Why the guest does not run; null while it does. */
  get pausedFor(): string | null {
    return this.#pausedFor;
  }

  /** Does what threads and drivers asked for since the last time. */
  look(): void {
    this.#service.lookAtRequests();
    this.hotplug.serve();
    this.#serial();
    const { life } = this.#pc;
    this.#threads.look(life);
    if (life.hasEnded && life.stopped === this.config.cpus) this.#over();
  }

  #over(): void {
    if (this.#end_) return;
    this.#service.close();
    this.#drainSerial();
    const { life } = this.#pc;
    const reason = life.reason ?? "host";
    this.#end_ = { reason, message: life.message || DEFAULT_MESSAGES[reason] };
  }

  #violated(device: string, reason: string): void {
    if (this.#violations++ < MAX_VIOLATIONS_LOGGED) {
      this.#host.log(`The guest's driver broke ${device}: ${reason}`);
    }
  }

  // A guest writes a byte at a time and each costs an exit: it must not also wake this thread for
  // each. So once woken, this looks by itself for as long as there is something.
  #serial(): void {
    this.#host.serialRoom();
    if (this.#drainSerial() === 0 && this.#pc.serial.sleep()) return;
    if (this.#isLookingSoon) return;
    this.#isLookingSoon = true;
    this.#loop.after(SERIAL_PERIOD_MS, () => {
      this.#isLookingSoon = false;
      this.#serial();
    });
  }

  #drainSerial(): number {
    if (!this.#host.takesSerial()) return 0;
    const bytes = this.#pc.serial.transmit();
    if (bytes.length > 0) this.#host.serial(bytes);
    return bytes.length;
  }

  #end(reason: ExitReason, message: string): void {
    const { life } = this.#pc;
    life.end(reason, message);
    life.kickAll();
    signal(this.#wakeIoFd);
    // Should a thread hang in the kernel, the process ends without it.
    this.#loop.after(STOP_TIMEOUT_MS, () => this.#over());
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
    if (this.#pausedFor !== null || this.#pc.life.hasEnded) return;
    this.#pausedFor = reason;
    this.#pc.life.hold();
    this.#pc.life.kickAll();
    this.#host.paused(reason);
  }

  /** Lets the guest go on: with a reason, only if that is what it was paused for. */
  resume(reason = this.#pausedFor): void {
    if (this.#pausedFor === null || this.#pausedFor !== reason) return;
    this.#pausedFor = null;
    this.#service.resumed();
    // A device that still cannot go on has paused it again.
    if (this.#pausedFor !== null) return;
    this.#pc.life.release();
    this.#host.paused(null);
  }

  /** What each device tells of itself, by the device's name. */
  devices(): Record<string, Record<string, unknown>> {
    return Object.fromEntries(
      this.#pc.virtio.map(({ device }) => [device.name, device.report?.() ?? {}]),
    );
  }

  /** Changes a device of the running guest; throws where there is none, or where it cannot. */
  change(name: string, change: Readonly<Record<string, unknown>>): void {
    const device = this.#pc.virtio.find(({ device }) => device.name === name)?.device;
    if (!device) throw new RangeError(`Cannot change "${name}": the guest has no such device`);
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

const DEFAULT_MESSAGES: Record<ExitReason, string> = {
  poweroff: "The guest powered off",
  reboot: "The guest asked for a reset",
  crash: "The guest crashed",
  host: "The VMM failed",
  refused: "The configuration was refused",
};
