/**
 * The KVM API as three handles: {@linkcode Kvm}, {@linkcode Vm} and {@linkcode Vcpu}.
 *
 * @module
 */
export * from "./ioctls.ts";
export * from "./kvm.ts";
export * from "./vcpu.ts";
export * from "./vm.ts";
