/**
 * Whether the appliance's PC can use this machine's own virtualization, or has to be emulated.
 *
 * @module
 */
import { probeKvm } from "../lab_pc/probe_kvm.ts";

export interface Acceleration {
  kind: "kvm" | "emulation";
  /** For a person: what is used, and why. */
  reason: string;
  /** QEMU's, for the CPUs. */
  arguments: readonly string[];
}

/** Finds out, by booting a kernel if need be. */
export async function chooseAcceleration(): Promise<Acceleration> {
  const { works, reason } = await probeKvm();
  if (!works) return emulation(`this machine's KVM cannot be used: ${reason}`);
  if (!await isNested()) {
    return emulation(
      "this machine's KVM gives its guests no virtualization of their own (load kvm_intel or kvm_amd with nested=1)",
    );
  }
  return {
    kind: "kvm",
    reason: `using this machine's own KVM: ${reason}, and it can be nested`,
    arguments: ["-accel", "kvm", "-cpu", "host", "-smp", "2"],
  };
}

/**
 * A PC with AMD-V whose every instruction is emulated: slow, and the same everywhere. It has one CPU, for
 * QEMU's emulation of a second one breaks into the guests of the first: see the lab's
 * `machineArguments` in ../lab_pc/machine.ts.
 */
export function emulation(why: string): Acceleration {
  return {
    kind: "emulation",
    reason: `emulating a PC with AMD-V, since ${why}`,
    arguments: ["-accel", "tcg,thread=multi", "-cpu", "EPYC-v3,+svm,+npt", "-smp", "1"],
  };
}

async function isNested(): Promise<boolean> {
  for (const module of ["kvm_intel", "kvm_amd"]) {
    try {
      const text = await Deno.readTextFile(`/sys/module/${module}/parameters/nested`);
      if (/^[Y1]/.test(text)) return true;
    } catch {
      // Not this processor's module.
    }
  }
  return false;
}
