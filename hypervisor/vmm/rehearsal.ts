/**
 * What a VMM that waits can do in advance: it sets a machine up and throws it away. Code is compiled
 * when it first runs, so the second machine takes a fraction of the first one's time.
 *
 * @module
 */
import { Kvm } from "../kvm/kvm.ts";
import { tscKhz, Vcpu } from "../kvm/vcpu.ts";
import { setUpVcpu, writeDescriptorTables } from "../machine/cpu/setup.ts";
import { eventfd } from "../sys/eventfd.ts";
import { close } from "../sys/files.ts";
import { Mapping } from "../sys/mapping.ts";
import { parseConfig } from "./config/guest.ts";
import { GuestCpus } from "./cpu_setup.ts";
import { assemble } from "./machine_setup.ts";
import { openGuestRam } from "./memory_setup.ts";

/** Sets up a machine and throws it away; what keeps it from that, the real one will run into. */
export function rehearse(): void {
  const config = parseConfig({
    ...{ name: "rehearsal", kernel: "/none", cmdline: "", memoryMiB: 128, cpus: 1 },
    ...{ disks: [], nets: [] },
  });
  const kvm = Kvm.open();
  const cpus = new GuestCpus(kvm, config);
  const { physicalBits } = cpus;
  const log = () => {};
  const memory = openGuestRam(config, { physicalBits, log });
  const wakeIoFd = eventfd();
  const { vm, pc, fds } = assemble(kvm, config, {
    ...{ cpus, physicalBits, memory, devices: [], wakeIoFd, log, ended: log },
  });
  pc.powerOn();
  writeDescriptorTables(pc.memory, "linux64");
  const vcpu = new Vcpu(fds[0]);
  setUpVcpu(vcpu, cpus.cpuid(0, tscKhz(fds[0])), { synic: cpus.synic });
  vcpu.unmaskSignalsInGuest();
  for (const fd of [...fds, vm.fd, kvm.fd, wakeIoFd, memory.fd!]) close(fd);
  new Mapping(memory.address, memory.length).unmap();
}
