/**
 * The KVM API as four handles: {@linkcode Kvm}, {@linkcode Vm}, {@linkcode Vcpu} and {@linkcode VcpuRun}.
 *
 * @module
 */
export * from "./ioctls.ts";
export * from "./kvm.ts";
export * from "./vcpu.ts";
export * from "./vcpu_run.ts";
export * from "./vm.ts";
