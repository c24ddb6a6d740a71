/**
 * From a configuration to a machine whose vCPUs wait to be let in, with a kernel loaded.
 *
 * @module
 */
import { KVM_PIT_SPEAKER_DUMMY } from "../kvm/ioctls.ts";
import type { CpuidEntry, Kvm } from "../kvm/kvm.ts";
import { tscKhz, Vcpu } from "../kvm/vcpu.ts";
import type { Vm } from "../kvm/vm.ts";
import { TSS_ADDRESS } from "../machine/address_map.ts";
import { loadLinux } from "../machine/boot/load.ts";
import { setUpBootVcpu, setUpVcpu, writeDescriptorTables } from "../machine/cpu/setup.ts";
import type { GuestMemory } from "../machine/memory.ts";
import type { MemorySpec } from "../machine/ram.ts";
import { eventfd, signal } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { Mapping } from "../sys/mapping.ts";
import { ConfigError } from "./config/fields.ts";
import type { GuestConfig } from "./control.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { type DeviceSpec, openDevices, openInPorts } from "./device_specs.ts";
import type { BuiltDevice, PluggedDevice } from "./hotplug.ts";
import { numaTopology, openGuestRam } from "./memory_setup.ts";
import { Pc, type PcSpec } from "./pc.ts";
import { arenaBytes } from "./slots.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";
import type { VcpuSpec } from "./vcpu_worker.ts";

export interface MachineOptions {
  threads: VcpuThreads;
  log: (line: string) => void;
}

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

export interface Parts {
  cpus: GuestCpus;
  physicalBits: number;
  memory: MemorySpec;
  devices: DeviceSpec[];
}

/** Whatever keeps a kernel from being loaded is a matter of what was asked for. */
function load(memory: GuestMemory, options: Parameters<typeof loadLinux>[1]) {
  try {
    return loadLinux(memory, options);
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}

/** What else a machine has where its guest starts or goes on: what is in its hot-plug ports. */
export interface Filled {
  plugged: (PluggedDevice & BuiltDevice)[];
}

/** A machine that starts its kernel. */
export function bootMachine(
  kvm: Kvm,
  config: GuestConfig,
  options: MachineOptions & { plugged?: readonly PluggedDevice[] },
): Machine & Filled {
  const cpus = new GuestCpus(kvm, config);
  const bits = cpus.physicalBits;
  const memory = openGuestRam(config, { physicalBits: bits, log: options.log });
  const devices = openDevices(config);
  const inPorts = openInPorts(options.plugged ?? [], config);
  const parts = { cpus, physicalBits: bits, memory, devices };
  const machine = assemble(kvm, config, parts);
  const { vm, pc, fds } = machine;
  pc.powerOn();
  const plugged = inPorts.map((one) => ({ ...one, ...pc.slots[one.slot].fill(one.spec) }));
  for (const { transport } of plugged) pc.virtio.push(transport);
  // The first thread builds its devices while the kernel is loaded here; then it is let in.
  startThreads(machine, config, options.threads);

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
  return { ...machine, cpuids, plugged };
}

/** The parts of a machine, wired together; its devices have neither power nor saved registers yet. */
export function assemble(
  kvm: Kvm,
  config: GuestConfig,
  { cpus, physicalBits, memory, devices }: Parts,
): Omit<Machine, "cpuids"> {
  // The order matters: the interrupt chips come before vCPUs, whose local APICs come with them, and
  // before irqfds and routes, which are theirs.
  const vm = kvm.createVm();
  vm.setTssAddress(TSS_ADDRESS);
  const hotplugPorts = config.hotplugPorts ?? 0;
  const arena = new SharedArrayBuffer(arenaBytes(hotplugPorts));
  const wakeIoFd = eventfd();
  const spec: PcSpec = {
    ...{ arena, memory, vmFd: vm.fd, wakeIoFd, physicalBits, devices, hotplugPorts },
  };
  const pc = new Pc(spec, {
    ended(reason) {
      pc.life.end(reason);
      pc.life.kickAll();
      signal(wakeIoFd);
    },
    serialReady: () => signal(wakeIoFd),
  });
  pc.life.hold();
  vm.createIrqchip();
  vm.createPit(KVM_PIT_SPEAKER_DUMMY);
  const fds = Array.from({ length: config.cpus }, (_, id) => vm.createVcpu(cpus.apicId(id)));
  return { kvm, vm, pc, fds, memory };
}

/** Has the vCPUs' threads build the PC too; then they wait until the guest may run. */
export function startThreads(
  { kvm, pc, fds }: Omit<Machine, "cpuids">,
  config: GuestConfig,
  threads: VcpuThreads,
): void {
  const runSize = kvm.runSize();
  threads.start(fds.map((fd, id): VcpuSpec => (
    { pc: pc.spec, id, fd, runSize, cpus: config.cpuAffinity?.[id] }
  )));
}

/**
 * Gives back what a machine holds that is not to be one. What its threads wake the main one by stays: they
 * may yet do that.
 */
export function throwAway({ vm, fds, memory }: Omit<Machine, "cpuids">): void {
  for (const fd of [...fds, vm.fd]) close(fd);
  new Mapping(memory.address, memory.length).unmap();
  if (memory.fd !== undefined) close(memory.fd);
}

/** Tells KVM of the guest's RAM. */
export function giveMemory(vm: Vm, memory: GuestMemory): void {
  memory.slots.forEach((region, slot) =>
    vm.setMemoryRegion(slot, {
      guest: region.guest,
      size: region.length,
      host: memory.address + region.offset,
    })
  );
}
