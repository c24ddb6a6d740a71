/**
 * What KVM says of memory that it could not give a vCPU: KVM_RUN fails with EFAULT, and `kvm_run` has
 * the address. Since Linux 6.8 (KVM_CAP_MEMORY_FAULT_INFO, api.rst section 8.37), which is why these
 * numbers are not among those that are compared with the headers of older kernels.
 *
 * @module
 */
import { RUN } from "./ioctls.ts";

export const KVM_EXIT_MEMORY_FAULT = 39;
/** `kvm_run.memory_fault.gpa`: after the exit's flags. */
const GPA = 40;

/** The guest physical address of the fault; -1 where KVM does not say. */
export function faultAddress(run: DataView): number {
  if (run.getUint32(RUN.exit_reason, true) !== KVM_EXIT_MEMORY_FAULT) return -1;
  return run.getUint32(GPA, true) + run.getUint32(GPA + 4, true) * 0x1_0000_0000;
}
