/**
 * A guest's machine as a save needs it.
 *
 * @module
 */
import { VcpuStates } from "../../kvm/vcpu_state.ts";
import { captureTime } from "../../kvm/vcpu_time.ts";
import { captureVm } from "../../kvm/vm_state.ts";
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
    capture: () => capture(machine),
    release: () => options.release(),
    stay: () => options.stay(),
  };
}

/**
 * Takes the state of a machine at rest. Devices have come to rest before: what they raised last is now
 * in the interrupt chips, and those are taken when nothing more can come.
 */
export function capture(
  { kvm, vm, pc, fds, cpuids }: Omit<Machine, "memory">,
): SavedMachine {
  // No thread is in KVM_RUN, and none left it in the middle of an exit: each came out with EINTR, which
  // KVM gives only after it has completed what the exit before was for.
  pc.settle();
  const states = new VcpuStates(kvm);
  return {
    vcpus: fds.map((fd, id) => states.capture(fd, cpuids[id])),
    time: captureTime(fds),
    vm: captureVm(vm.fd),
    arena: pc.arena.sections(),
  };
}
