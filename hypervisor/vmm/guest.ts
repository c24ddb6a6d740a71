/**
 * One guest: from a configuration to running vCPUs to its end. Runs on the main thread, which never
 * enters the guest itself.
 *
 * @module
 */
import { KVM_PIT_SPEAKER_DUMMY } from "../kvm/ioctls.ts";
import { Kvm } from "../kvm/kvm.ts";
import { tscKhz } from "../kvm/vcpu.ts";
import { TSS_ADDRESS } from "../machine/address_map.ts";
import { loadLinux } from "../machine/boot/load.ts";
import { guestCpuid, physicalBits } from "../machine/cpu/cpuid.ts";
import { writeDescriptorTables } from "../machine/cpu/setup.ts";
import type { GuestMemory } from "../machine/memory.ts";
import { eventfd, signal } from "../sys/eventfd.ts";
import { readPseudoFile } from "../sys/pseudo_files.ts";
import { ConfigError } from "./config/fields.ts";
import { checkHostMemory } from "./config/guest.ts";
import type { ExitReason, GuestConfig } from "./control.ts";
import { type DeviceSpec, openDevices } from "./device_specs.ts";
import type { IoMessage } from "./io_worker.ts";
import { checkAffinity, numaTopology, openGuestRam } from "./memory_setup.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";
import type { VcpuMessage, VcpuSpec } from "./vcpu_worker.ts";

/** Workers are files beside this one: `.ts` in the sources, `.js` in the appliance's bundle. */
const EXTENSION = import.meta.url.endsWith(".js") ? ".js" : ".ts";

/** How long vCPUs and I/O may take to stop before the process ends under them, in milliseconds. */
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

/** A thread that waits for what it is to do. */
function thread(kind: "io" | "vcpu", id?: number): Worker {
  const module = new URL(`./${kind}_worker${EXTENSION}`, import.meta.url);
  return new Worker(module, { type: "module", name: `${kind}${id ?? ""}` });
}

export interface GuestEnd {
  reason: ExitReason;
  message: string;
}

export interface GuestHost {
  /** The serial port sent something. */
  serial(bytes: Uint8Array<ArrayBuffer>): void;
  /** The serial port takes input again. */
  serialRoom(): void;
  /** Something a person should know. */
  log(line: string): void;
}

export class Guest {
  readonly config: GuestConfig;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Settles when the guest has ended and nothing of it runs any more. */
  readonly ended: Promise<GuestEnd>;
  readonly #pc: Pc;
  readonly #host: GuestHost;
  readonly #wakeIoFd: number;
  #settle!: (end: GuestEnd) => void;
  #message = "";
  #running = 0;
  #violations = 0;
  #serialTimer: ReturnType<typeof setTimeout> | undefined;

  /** Sets the guest up and starts it; throws, with nothing left running, where it cannot. */
  constructor(config: GuestConfig, host: GuestHost) {
    this.config = config;
    this.#host = host;
    this.ended = new Promise((resolve) => this.#settle = resolve);
    checkHostMemory(config, readPseudoFile("/proc/meminfo"));
    checkAffinity(config);
    const kvm = Kvm.open();
    const devices = openDevices(config);
    // Threads take longest to start, so they do while the rest is set up.
    const io = thread("io");
    const vcpus = Array.from({ length: config.cpus }, (_, id) => thread("vcpu", id));
    try {
      this.#wakeIoFd = eventfd();
      const { pc, spec, vcpuSpecs } = this.#setUp(kvm, devices);
      this.#pc = pc;
      this.#startIo(io, spec);
      vcpus.forEach((worker, id) => this.#startVcpu(worker, vcpuSpecs[id]));
    } catch (error) {
      for (const worker of [io, ...vcpus]) worker.terminate();
      throw error;
    }
    this.startedAt = Date.now();
    this.#pc.life.start();
  }

  #setUp(kvm: Kvm, devices: DeviceSpec[]): { pc: Pc; spec: PcSpec; vcpuSpecs: VcpuSpec[] } {
    const config = this.config;
    const supported = kvm.supportedCpuid();
    const bits = physicalBits(supported);
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
      serialReady: () => queueMicrotask(() => this.#serial()),
    });
    const boot = load(pc.memory, {
      ...config,
      physicalBits: bits,
      numa: numaTopology(config),
    });
    writeDescriptorTables(pc.memory);
    pc.memory.slots.forEach((region, slot) =>
      vm.setMemoryRegion(slot, {
        guest: region.guest,
        size: region.length,
        host: memory.address + region.offset,
      })
    );
    vm.createIrqchip();
    vm.createPit(KVM_PIT_SPEAKER_DUMMY);
    pc.powerOn();

    const runSize = kvm.runSize();
    const vcpuSpecs = Array.from({ length: config.cpus }, (_, id): VcpuSpec => {
      const fd = vm.createVcpu(id);
      const cpuid = guestCpuid(supported, { id, cpus: config.cpus, tscKhz: tscKhz(fd) });
      return {
        pc: spec,
        id,
        fd,
        runSize,
        cpuid,
        entry: id === 0 ? boot.entry : null,
        cpus: config.cpuAffinity?.[id],
      };
    });
    return { pc, spec, vcpuSpecs };
  }

  #startIo(worker: Worker, spec: PcSpec): void {
    this.#running++;
    worker.onmessage = ({ data }: MessageEvent<IoMessage>) => {
      switch (data.kind) {
        case "serial":
          return this.#serial();
        case "violation":
          if (this.#violations++ < MAX_VIOLATIONS_LOGGED) {
            this.#host.log(`The guest's driver broke ${data.device}: ${data.reason}`);
          }
          return;
        case "failed":
          this.#end("host", `The I/O thread failed: ${data.message}`);
          return this.#stopped();
        case "stopped":
          return this.#stopped();
      }
    };
    this.#onError(worker, "I/O");
    worker.postMessage(spec);
  }

  #startVcpu(worker: Worker, spec: VcpuSpec): void {
    this.#running++;
    worker.onmessage = ({ data }: MessageEvent<VcpuMessage>) => {
      switch (data.kind) {
        case "serial":
          return this.#serial();
        case "failed":
          this.#end(data.reason, data.message);
          return this.#stopped();
        case "stopped":
          this.#wakeIo();
          return this.#stopped();
      }
    };
    this.#onError(worker, `vCPU ${spec.id}`);
    worker.postMessage(spec);
  }

  #onError(worker: Worker, what: string): void {
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end("host", `The ${what} thread failed: ${event.message}`);
      this.#stopped();
    };
  }

  #wakeIo(): void {
    signal(this.#wakeIoFd);
  }

  // A guest writes a byte at a time and each costs an exit: it must not also wake this thread for
  // each. So once woken, this looks by itself for as long as there is something.
  #serial(): void {
    this.#host.serialRoom();
    if (this.#drainSerial() === 0 && this.#pc.serial.sleep()) return;
    if (this.#serialTimer === undefined) {
      this.#serialTimer = setTimeout(() => {
        this.#serialTimer = undefined;
        this.#serial();
      }, SERIAL_PERIOD_MS);
    }
  }

  #drainSerial(): number {
    const bytes = this.#pc.serial.transmit();
    if (bytes.length > 0) this.#host.serial(bytes);
    return bytes.length;
  }

  #end(reason: ExitReason, message: string): void {
    if (this.#pc.life.end(reason)) this.#message = message;
    this.#pc.life.kickAll();
    this.#wakeIo();
    // Should a thread hang in the kernel, the process ends without it.
    setTimeout(() => this.#settleNow(), STOP_TIMEOUT_MS);
  }

  #stopped(): void {
    if (--this.#running === 0) {
      this.#drainSerial();
      this.#settleNow();
    }
  }

  #settleNow(): void {
    const reason = this.#pc.life.reason ?? "host";
    this.#settle({ reason, message: this.#message || DEFAULT_MESSAGES[reason] });
  }

  /** Types at the serial port; how many of the bytes there was room for. */
  type(bytes: Uint8Array): number {
    return this.#pc.serial.receive(bytes);
  }

  pressPowerButton(): void {
    this.#pc.pressPowerButton();
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
