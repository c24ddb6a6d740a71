/**
 * From a configuration to a machine whose vCPUs wait to be let in: with a kernel loaded, or going on
 * from where another machine was saved.
 *
 * @module
 */
import { KVM_CAP, KVM_PIT_SPEAKER_DUMMY } from "../kvm/ioctls.ts";
import type { CpuidEntry, Kvm } from "../kvm/kvm.ts";
import { tscKhz, Vcpu } from "../kvm/vcpu.ts";
import { tellPaused } from "../kvm/vcpu_run.ts";
import { VcpuStates } from "../kvm/vcpu_state.ts";
import { setFrequency, TimeRestorer } from "../kvm/vcpu_time.ts";
import type { Vm } from "../kvm/vm.ts";
import { applyVm } from "../kvm/vm_state.ts";
import { TSS_ADDRESS } from "../machine/address_map.ts";
import type { Sections } from "../machine/arena.ts";
import { loadLinux } from "../machine/boot/load.ts";
import { checkCpu } from "../machine/cpu/compatibility.ts";
import { physicalBits } from "../machine/cpu/cpuid.ts";
import { setUpBootVcpu, setUpVcpu, writeDescriptorTables } from "../machine/cpu/setup.ts";
import type { GuestMemory } from "../machine/memory.ts";
import { mappedLength, type MemorySpec } from "../machine/ram.ts";
import { signal } from "../sys/eventfd.ts";
import { ConfigError } from "./config/fields.ts";
import type { ExitReason, GuestConfig } from "./control.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { type DeviceSpec, openDevices, openPlugged } from "./device_specs.ts";
import type { PluggedDevice, RestoredDevice } from "./hotplug.ts";
import { numaTopology, openGuestRam } from "./memory_setup.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";
import type { OpenSnapshot } from "./snapshot/directory.ts";
import type { SavedGuest, SavedMachine } from "./snapshot/saved_guest.ts";
import type { Held } from "./upgrade/held.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";
import type { VcpuSpec } from "./vcpu_worker.ts";

export interface MachineOptions {
  wakeIoFd: number;
  threads: VcpuThreads;
  log: (line: string) => void;
  /** The guest ended itself, by the main thread's doing. */
  ended: (reason: ExitReason) => void;
}

/** What came from another VMM, which still has the guest's disks. */
export interface ReceivedGuest {
  saved: SavedGuest;
  /** With RAM's content. */
  memory: MemorySpec;
  devices: DeviceSpec[];
  /** What devices hold that were plugged in, where that was handed over. */
  held?: Held;
  /** The machine, where it was made before it was known what it is to go on from. */
  blank?: BlankMachine;
}

/** A machine that has nothing but its parts, of which its threads know. */
export type BlankMachine = Omit<Machine, "cpuids"> & { cpus: GuestCpus };

/** Where a guest goes on from. */
export type RestoreSource = (OpenSnapshot & { blank?: undefined }) | ReceivedGuest;

/** A machine none of whose vCPUs has been let in yet. */
export interface Machine {
  kvm: Kvm;
  vm: Vm;
  pc: Pc;
  /** Of the vCPUs. */
  fds: number[];
  /** What each vCPU was shown. */
  cpuids: CpuidEntry[][];
  memory: MemorySpec;
}

interface Parts {
  cpus: GuestCpus;
  physicalBits: number;
  memory: MemorySpec;
  devices: DeviceSpec[];
  /** The registers of a machine that was saved. */
  saved?: Sections;
}

/** Whatever keeps a kernel from being loaded is a matter of what was asked for. */
function load(memory: GuestMemory, options: Parameters<typeof loadLinux>[1]) {
  try {
    return loadLinux(memory, options);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** A machine that starts its kernel. */
export function bootMachine(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & { devices: DeviceSpec[] },
): Machine {
  const cpus = new GuestCpus(kvm, config);
  const bits = cpus.physicalBits;
  const memory = openGuestRam(config, { physicalBits: bits, log: options.log });
  const { devices } = options;
  const parts = { cpus, physicalBits: bits, memory, devices };
  const { spec, ...machine } = assemble(kvm, config, { ...options, ...parts });
  const { vm, pc, fds } = machine;
  pc.powerOn();
  // The first thread builds its devices while the kernel is loaded here; then it is let in.
  startThreads(kvm, config, { ...options, spec, fds });

  const boot = load(pc.memory, {
    ...config,
    physicalBits: bits,
    topology: cpus.topology,
    numa: numaTopology(config),
    log: options.log,
  });
  writeDescriptorTables(pc.memory, boot.mode);
  giveMemory(vm, pc.memory);
  // All of them here, before the first one runs: one whose TSC were set a second later would be
  // another clock than the others'. So a vCPU's thread need not be there when the first starts.
  const cpuids = fds.map((fd, id) => cpus.cpuid(id, tscKhz(fd)));
  fds.forEach((fd, id) => {
    const vcpu = new Vcpu(fd);
    setUpVcpu(vcpu, cpuids[id], { synic: cpus.synic });
    if (id === 0) setUpBootVcpu(vcpu, boot);
    vcpu.unmaskSignalsInGuest();
  });
  return { ...machine, cpuids };
}

/**
 * A machine that goes on from where another was saved, by the same configuration but for what its
 * devices stand on. Throws a {@linkcode ConfigError} that says why this host cannot do that.
 */
export function restoreMachine(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & { snapshot: RestoreSource },
): Machine & { plugged: (PluggedDevice & RestoredDevice)[] } {
  try {
    return goOn(kvm, config, options);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(`Cannot restore "${config.name}": ${(cause as Error).message}`, {
      cause,
    });
  }
}

function goOn(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & { snapshot: RestoreSource },
): ReturnType<typeof restoreMachine> {
  const { snapshot, log } = options;
  const received = "memory" in snapshot ? snapshot : undefined;
  const { machine: saved, memory: savedMemory, settings } = snapshot.saved;
  const blank = received?.blank;
  const cpus = blank?.cpus ?? new GuestCpus(kvm, config);
  const [{ cpuid: shown }] = saved.vcpus;
  saved.vcpus.forEach(({ cpuid }, id) => checkCpu(cpuid, cpus.cpuid(id, 0)));
  // What was told to the guest, which laid out its devices by it.
  const bits = physicalBits(shown);
  const memory = "memory" in snapshot
    ? snapshot.memory
    : openGuestRam(config, { physicalBits: bits, log, savedFd: snapshot.memoryFd });
  if (mappedLength(memory) !== savedMemory.length) {
    throw new RangeError(
      `its memory has ${savedMemory.length} bytes, and ${
        mappedLength(memory)
      } by its configuration`,
    );
  }
  const devices = received?.devices ?? openDevices(config);
  const parts = { cpus, physicalBits: bits, memory, devices, saved: saved.arena };
  const machine = blank ?? assemble(kvm, config, { ...options, ...parts });
  const { vm, pc, fds } = machine;
  blank?.pc.arena.fill(saved.arena);
  const plugged: (PluggedDevice & RestoredDevice)[] = [];
  pc.restore(() => plugged.push(...putBack(pc, config, snapshot)));
  for (const { device } of pc.virtio) {
    // Of all that can be changed, what a device would have saved: no snapshot makes a disk grow.
    const known = Object.keys(device.settings?.() ?? {});
    const own = Object.entries(settings[device.name] ?? {}).filter(([key]) => known.includes(key));
    if (own.length > 0) device.change?.(Object.fromEntries(own));
  }
  if (blank === undefined) giveMemory(vm, pc.memory);
  applySaved(kvm, { vm, fds, cpus }, saved);
  // The time that has passed is none that a watchdog should bark for.
  fds.forEach(tellPaused);
  if (blank === undefined) startThreads(kvm, config, { ...options, spec: pc.spec, fds });
  const cpuids = saved.vcpus.map(({ cpuid }) => cpuid);
  return { ...machine, cpuids, plugged };
}

/** A machine for what another is about to be saved as: see {@linkcode ReceivedGuest.blank}. */
export function blankMachine(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & Omit<Parts, "saved">,
): BlankMachine {
  const { spec, ...machine } = assemble(kvm, config, options);
  giveMemory(machine.vm, machine.pc.memory);
  startThreads(kvm, config, { ...options, spec, fds: machine.fds });
  return { ...machine, cpus: options.cpus };
}

/** Gives KVM what it held of a machine that was saved. */
export function applySaved(
  kvm: Kvm,
  { vm, fds, cpus }: { vm: Vm; fds: readonly number[]; cpus: GuestCpus },
  saved: SavedMachine,
): void {
  // The first one's offset is all others': see vcpu_time.ts. All before the first one runs.
  const states = new VcpuStates(kvm);
  const time = new TimeRestorer(saved.time);
  fds.forEach((fd, id) => {
    const state = saved.vcpus[id];
    const vcpu = new Vcpu(fd);
    vcpu.setCpuid(state.cpuid);
    if (cpus.synic) vcpu.enable(KVM_CAP.HYPERV_SYNIC2);
    setFrequency(kvm, fd, saved.time.khz);
    states.apply(fd, state, () => time.apply(fd, id));
    vcpu.unmaskSignalsInGuest();
  });
  applyVm(kvm, vm.fd, saved.vm);
}

/** The parts of a machine, wired together; its devices have neither power nor saved registers yet. */
export function assemble(
  kvm: Kvm,
  config: GuestConfig,
  options: Omit<MachineOptions, "threads"> & Parts,
): Omit<Machine, "cpuids"> & { spec: PcSpec } {
  const { cpus, physicalBits, memory, devices, saved, wakeIoFd } = options;
  // The order matters: the interrupt chips come before vCPUs, whose local APICs come with them, and
  // before irqfds and routes, which are theirs.
  const vm = kvm.createVm();
  vm.setTssAddress(TSS_ADDRESS);
  const hotplugPorts = config.hotplugPorts ?? 0;
  const arena = new SharedArrayBuffer(arenaBytes(hotplugPorts));
  const spec: PcSpec = {
    ...{ arena, memory, vmFd: vm.fd, wakeIoFd, physicalBits, devices, hotplugPorts },
  };
  const { ended } = options;
  const pc = new Pc(spec, { ended, serialReady: () => signal(wakeIoFd), saved });
  pc.life.hold();
  vm.createIrqchip();
  vm.createPit(KVM_PIT_SPEAKER_DUMMY);
  const fds = Array.from({ length: config.cpus }, (_, id) => vm.createVcpu(cpus.apicId(id)));
  return { kvm, vm, pc, fds, memory, spec };
}

function startThreads(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & { spec: PcSpec; fds: readonly number[] },
): void {
  const { threads, spec, fds } = options;
  const runSize = kvm.runSize();
  threads.start(fds.map((fd, id): VcpuSpec => (
    { pc: spec, id, fd, runSize, cpus: config.cpuAffinity?.[id] }
  )));
}

function giveMemory(vm: Vm, memory: GuestMemory): void {
  memory.slots.forEach((region, slot) =>
    vm.setMemoryRegion(slot, {
      guest: region.guest,
      size: region.length,
      host: memory.address + region.offset,
    })
  );
}

/** Puts devices back into the slots of hot-plug ports. */
function putBack(
  pc: Pc,
  config: GuestConfig,
  snapshot: RestoreSource,
): (PluggedDevice & RestoredDevice)[] {
  const { saved } = snapshot;
  const received = "memory" in snapshot ? snapshot : undefined;
  const from = { unlocked: received !== undefined, held: received?.held };
  pc.slots.forEach(({ port }, index) => {
    const has = saved.plugged.some(({ slot }) => slot === index);
    if (port.isOccupied !== has) {
      throw new RangeError(`hot-plug port ${index} does not have what was plugged into it`);
    }
  });
  return saved.plugged.map((one) => {
    const slot = pc.slots[one.slot];
    if (slot === undefined || pc.virtio.some(({ device }) => device.name === one.name)) {
      throw new RangeError(`there is no place for what was plugged in as "${one.name}"`);
    }
    const spec = openPlugged(one.device, { name: one.name, cpus: config.cpus, ...from });
    const { transport, release } = slot.restore(spec, saved.machine.arena);
    pc.virtio.push(transport);
    return { ...one, spec, transport, release };
  });
}
