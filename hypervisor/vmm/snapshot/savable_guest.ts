/**
 * A guest's machine as a save needs it.
 *
 * @module
 */
import { VcpuStates } from "../../kvm/vcpu_state.ts";
import { captureTime } from "../../kvm/vcpu_time.ts";
import { KVM } from "../../kvm/ioctls.ts";
import { captureVm } from "../../kvm/vm_state.ts";
import type { Sections } from "../../machine/arena.ts";
import { type BufferCall, ioctlBuffer } from "../../sys/ioctl.ts";
import type { GuestConfig } from "../control.ts";
import type { Hotplug } from "../hotplug.ts";
import type { Machine } from "../machine_setup.ts";
import type { VirtioService } from "../virtio_service.ts";
import type { SaveHistory } from "./history.ts";
import type { SavableGuest } from "./saving.ts";
import type { SavedMachine } from "./saved_guest.ts";

export interface SavableOptions {
  config: GuestConfig;
  service: VirtioService;
  hotplug: Hotplug;
  history: SaveHistory;
  slow(percent: number): void;
  /** Asks the vCPUs out of the guest, unless somebody has already. */
  hold(): void;
  /** Does what threads and drivers have asked for. */
  settle(): void;
  /** Lets the guest go on, if that is what it waits for. */
  release(): void;
  /** Leaves it paused. */
  stay(): void;
}

export function savableGuest(machine: Machine, options: SavableOptions): SavableGuest {
  const { pc, memory } = machine;
  const { config, service, hotplug, history } = options;
  const states = new VcpuStates(machine.kvm);
  return {
    config,
    memory,
    history,
    get isParked() {
      return pc.life.parked === config.cpus;
    },
    get plugged() {
      return hotplug.devices();
    },
    get settings() {
      return Object.fromEntries(
        pc.virtio.flatMap(({ device }) =>
          device.settings === undefined ? [] : [[device.name, device.settings()]]
        ),
      );
    },
    slow: (percent) => options.slow(percent),
    hold: () => options.hold(),
    freeze() {
      options.settle();
      service.freeze();
    },
    rehearse() {
      // The thread that kicks binds the function for that, and those that are kicked theirs.
      pc.life.kickAll();
      return take(machine, { states, fds: fdsOf(config.cpus), vmFd: NONE, call: answersNothing });
    },
    capture: (untouched) => capture(machine, { states, untouched }),
    release: () => options.release(),
    stay: () => options.stay(),
  };
}

/** A descriptor that is nobody's. */
const NONE = -1;
const fdsOf = (cpus: number) => Array<number>(cpus).fill(NONE);

/** In place of KVM: says that it did what was asked, whoever is asked for what. */
function answersNothing(_: number, request: number, bytes: Uint8Array<ArrayBuffer>): number {
  return request === KVM.GET_MSRS ? new Uint32Array(bytes.buffer)[0] : 0;
}

/**
 * Takes the state of a machine at rest. Devices have come to rest before: what they raised last is now
 * in the interrupt chips, and those are taken when nothing more can come. `untouched` is called when nothing
 * of this writes to memory any more.
 */
export function capture(
  machine: Omit<Machine, "memory" | "kvm">,
  { states, untouched }: { states: VcpuStates; untouched?: () => void },
): SavedMachine {
  const { vm, pc, fds } = machine;
  // No thread is in KVM_RUN, and none left it in the middle of an exit: each came out with EINTR, which
  // KVM gives only after it has completed what the exit before was for.
  pc.settle();
  return take(machine, { states, fds, vmFd: vm.fd, call: ioctlBuffer, untouched });
}

interface Taking {
  states: VcpuStates;
  fds: readonly number[];
  vmFd: number;
  call: BufferCall;
  untouched?: () => void;
}

function take(
  { pc, cpuids }: Pick<Machine, "pc" | "cpuids">,
  { states, fds, vmFd, call, untouched }: Taking,
): SavedMachine {
  const running = fds.map((fd) => states.settle(fd, call));
  untouched?.();
  const taken = {
    vcpus: fds.map((fd, id) => states.capture(fd, cpuids[id], { mpState: running[id], call })),
    time: captureTime(fds, call),
    vm: captureVm(vmFd, call),
  };
  const registers = pc.arena.copy();
  let arena: Sections | undefined;
  // Most who take it let the guest go on before they look at it.
  return {
    ...taken,
    get arena() {
      return arena ??= registers.sections();
    },
  };
}
