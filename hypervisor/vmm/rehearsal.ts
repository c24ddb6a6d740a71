/**
 * What a VMM that waits can do in advance: it sets machines up and throws them away. Code is compiled
 * when it first runs, so the next machine takes a fraction of the first one's time.
 *
 * @module
 */
import { Kvm } from "../kvm/kvm.ts";
import { tscKhz, Vcpu } from "../kvm/vcpu.ts";
import { VcpuStates } from "../kvm/vcpu_state.ts";
import { checkCpu } from "../machine/cpu/compatibility.ts";
import { setUpVcpu, writeDescriptorTables } from "../machine/cpu/setup.ts";
import { close } from "../sys/files.ts";
import { parseConfig } from "./config/guest.ts";
import type { GuestConfig } from "./control.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { collectGarbage } from "./garbage.ts";
import { applySaved } from "./machine_restore.ts";
import { assemble, throwAway } from "./machine_setup.ts";
import { openGuestRam } from "./memory_setup.ts";
import { capture } from "./snapshot/savable_guest.ts";
import { rehearseOrder } from "./rehearsed_order.ts";
import { decodeGuest, encodeGuest, type SavedGuest } from "./snapshot/saved_guest.ts";
import type { VcpuThreads } from "./vcpu_threads.ts";

/** Sets up machines and throws them away; what keeps it from that, the real one will run into. */
export function rehearse(where: { threads: VcpuThreads; socket: string }): void {
  const config = parseConfig({
    ...{ name: "rehearsal", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1 },
    ...{ disks: [], nets: [] },
  });
  const kvm = Kvm.open();
  const cpus = new GuestCpus(kvm, config);
  const saved = encodeGuest(play(kvm, config, { cpus }));
  // The second one goes on from the first, as a guest from a snapshot or a fork.
  play(kvm, config, { cpus, saved: decodeGuest(saved) });
  close(kvm.fd);
  rehearseOrder(saved, where);
  // Or the real one would have to, in the middle of its start.
  collectGarbage({ keepsCode: true });
}

/** A machine at its start, or that goes on; what there is of it. */
function play(
  kvm: Kvm,
  config: GuestConfig,
  { cpus, saved }: { cpus: GuestCpus; saved?: SavedGuest },
): SavedGuest {
  const { physicalBits } = cpus;
  const log = () => {};
  const memory = openGuestRam(config, { physicalBits, log });
  const parts = { cpus, physicalBits, memory, devices: [] };
  const { vm, pc, fds } = assemble(kvm, config, parts);
  const cpuids = fds.map((fd) => cpus.cpuid(0, tscKhz(fd)));
  if (saved === undefined) {
    pc.powerOn();
    writeDescriptorTables(pc.memory, "linux64");
    const vcpu = new Vcpu(fds[0]);
    setUpVcpu(vcpu, cpuids[0], { synic: cpus.synic });
    vcpu.unmaskSignalsInGuest();
  } else {
    saved.machine.vcpus.forEach(({ cpuid }) => checkCpu(cpuid, cpuids[0]));
    pc.restore(saved.machine.arena, () => {});
    applySaved(kvm, { vm, fds, cpus }, saved.machine);
  }
  const taken: SavedGuest = {
    ...{ config, plugged: [], settings: {}, takenAt: Date.now() },
    machine: capture({ vm, pc, fds, cpuids }, { states: new VcpuStates(kvm) }),
    memory: { length: memory.length },
    point: { run: "0".repeat(32), sequence: 1 },
  };
  throwAway({ kvm, vm, pc, fds, memory });
  close(pc.wakeIoFd);
  return taken;
}
