/**
 * Whether the appliance's PC can use this machine's own virtualization, or has to be emulated.
 *
 * @module
 */

export interface Acceleration {
  kind: "kvm" | "emulation";
  /** For a person: what is used, and why. */
  reason: string;
  /** QEMU's. */
  arguments: readonly string[];
}

/** A PC with AMD-V whose every instruction is emulated: slow, and the same everywhere. */
export function emulation(why: string): Acceleration {
  return {
    kind: "emulation",
    reason: `emulating a PC with AMD-V, since ${why}`,
    arguments: ["-accel", "tcg,thread=multi", "-cpu", "EPYC-v3,+svm,+npt"],
  };
}
