/**
 * From what a machine was when it was saved to one that goes on from there, whose vCPUs wait to be let in.
 *
 * Most of the work needs no state: the virtual machine, its memory, its vCPUs, and the devices in every
 * thread. So a guest on its way from another VMM finds all of that standing.
 *
 * @module
 */
import { KVM_CAP } from "../kvm/ioctls.ts";
import type { CpuidEntry, Kvm } from "../kvm/kvm.ts";
import { Vcpu } from "../kvm/vcpu.ts";
import { tellPaused } from "../kvm/vcpu_run.ts";
import { VcpuStates } from "../kvm/vcpu_state.ts";
import { setFrequency, TimeRestorer } from "../kvm/vcpu_time.ts";
import type { Vm } from "../kvm/vm.ts";
import { applyVm } from "../kvm/vm_state.ts";
import { checkCpu } from "../machine/cpu/compatibility.ts";
import { physicalBits } from "../machine/cpu/cpuid.ts";
import { mappedLength, type MemorySpec } from "../machine/ram.ts";
import { ConfigError } from "./config/fields.ts";
import type { GuestConfig } from "./control.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { type DeviceSpec, openDevices, openPlugged } from "./device_specs.ts";
import {
  assemble,
  type Filled,
  giveMemory,
  type Machine,
  type MachineOptions,
  startThreads,
} from "./machine_setup.ts";
import { openGuestRam } from "./memory_setup.ts";
import type { Pc } from "./pc.ts";
import type { OpenSnapshot } from "./snapshot/directory.ts";
import type { SavedGuest, SavedMachine } from "./snapshot/saved_guest.ts";
import type { Held } from "./upgrade/held.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";

/** A machine that lacks nothing but the state of the one that is to go on in it. */
export interface PreparedMachine extends Omit<Machine, "cpuids"> {
  cpus: GuestCpus;
}

/** What came from another VMM, which still has the guest's disks. */
export interface ReceivedGuest {
  saved: SavedGuest;
  /** With RAM's content. */
  machine: PreparedMachine;
  /** What devices hold that were plugged in, where that was handed over. */
  held?: Held;
}

/** Where a guest goes on from. */
export type RestoreSource = OpenSnapshot | ReceivedGuest;

export interface PrepareOptions {
  /** What the first vCPU was shown: the guest laid out its devices by it. */
  shown: readonly CpuidEntry[];
  cpus: GuestCpus;
  memory: MemorySpec;
  devices: DeviceSpec[];
  threads: VcpuThreads;
}

/** As much of a machine as there can be without its state. Its threads build theirs meanwhile. */
export function prepareMachine(
  kvm: Kvm,
  config: GuestConfig,
  options: PrepareOptions,
): PreparedMachine {
  const { cpus, memory, devices, threads } = options;
  const bits = physicalBits(options.shown);
  const machine = assemble(kvm, config, { cpus, physicalBits: bits, memory, devices });
  giveMemory(machine.vm, machine.pc.memory);
  startThreads(machine, config, threads);
  return { ...machine, cpus };
}

/**
 * A machine that goes on from where another was saved, by the same configuration but for what its
 * devices stand on. Throws a {@linkcode ConfigError} that says why this host cannot do that.
 */
export function restoreMachine(
  config: GuestConfig,
  options: MachineOptions & { kvm: Kvm; snapshot: RestoreSource },
): Machine & Filled {
  try {
    return goOn(config, options);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(`Cannot restore "${config.name}": ${(cause as Error).message}`, {
      cause,
    });
  }
}

function goOn(
  config: GuestConfig,
  options: MachineOptions & { kvm: Kvm; snapshot: RestoreSource },
): ReturnType<typeof restoreMachine> {
  const { snapshot } = options;
  const { machine: saved, memory: savedMemory, settings } = snapshot.saved;
  const machine = "machine" in snapshot
    ? snapshot.machine
    : prepareSaved(config, options, snapshot);
  const { kvm, vm, pc, fds, cpus, memory } = machine;
  saved.vcpus.forEach(({ cpuid }, id) => checkCpu(cpuid, cpus.cpuid(id, 0)));
  if (physicalBits(saved.vcpus[0].cpuid) !== pc.spec.physicalBits) {
    throw new RangeError("its CPUs have other address bits than they were said to have");
  }
  if (mappedLength(memory) !== savedMemory.length) {
    throw new RangeError(
      `its memory has ${savedMemory.length} bytes, and ${
        mappedLength(memory)
      } by its configuration`,
    );
  }
  const plugged: Filled["plugged"] = [];
  pc.restore(saved.arena, () => plugged.push(...putBack(pc, config, snapshot)));
  for (const { device } of pc.virtio) {
    // Of all that can be changed, what a device would have saved: no snapshot makes a disk grow.
    const known = Object.keys(device.settings?.() ?? {});
    const own = Object.entries(settings[device.name] ?? {}).filter(([key]) => known.includes(key));
    if (own.length > 0) device.change?.(Object.fromEntries(own));
  }
  applySaved(kvm, { vm, fds, cpus }, saved);
  // The time that has passed is none that a watchdog should bark for.
  fds.forEach(tellPaused);
  return { kvm, vm, pc, fds, memory, cpuids: saved.vcpus.map(({ cpuid }) => cpuid), plugged };
}

/** For a snapshot's guest, when nothing stands yet. */
function prepareSaved(
  config: GuestConfig,
  { kvm, threads, log }: MachineOptions & { kvm: Kvm },
  { saved, memoryFd }: OpenSnapshot,
): PreparedMachine {
  const cpus = new GuestCpus(kvm, config);
  const { vcpus } = saved.machine;
  vcpus.forEach(({ cpuid }, id) => checkCpu(cpuid, cpus.cpuid(id, 0)));
  const shown = vcpus[0].cpuid;
  const bits = physicalBits(shown);
  const memory = openGuestRam(config, { physicalBits: bits, log, savedFd: memoryFd });
  const devices = openDevices(config);
  return prepareMachine(kvm, config, { shown, cpus, memory, devices, threads });
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

/** Puts devices back into the slots of hot-plug ports. */
function putBack(
  pc: Pc,
  config: GuestConfig,
  snapshot: RestoreSource,
): Filled["plugged"] {
  const { saved } = snapshot;
  const received = "machine" in snapshot ? snapshot : undefined;
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
