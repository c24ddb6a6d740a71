/**
 * A guest's CPUs: from its configuration and what this host offers to what every vCPU is told.
 *
 * @module
 */
import { KVM_CAP } from "../kvm/ioctls.ts";
import type { CpuidEntry, Kvm } from "../kvm/kvm.ts";
import { chooseCpu } from "../machine/cpu/baseline.ts";
import { guestCpuid, physicalBits } from "../machine/cpu/cpuid.ts";
import type { HyperV } from "../machine/cpu/hyperv.ts";
import { apicId, flatTopology, type Topology } from "../machine/cpu/topology.ts";
import { ConfigError } from "./config/fields.ts";
import type { GuestConfig } from "./control.ts";

export class GuestCpus {
  readonly topology: Topology;
  readonly physicalBits: number;
  /** Whether the vCPUs have Hyper-V's interrupt controller. */
  readonly synic: boolean;
  readonly #cpus: number;
  readonly #offered: CpuidEntry[];
  readonly #nested: boolean;
  readonly #hyperv: HyperV | undefined;

  /** Throws a {@linkcode ConfigError} with what this host lacks. */
  constructor(kvm: Kvm, config: GuestConfig) {
    const { model = "host", features, topology, nested = false, hyperv } = config.cpu ?? {};
    this.#cpus = config.cpus;
    this.#nested = nested;
    this.topology = topology ?? flatTopology(config.cpus);
    try {
      this.#offered = chooseCpu(kvm.supportedCpuid(), { model, features, nested });
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new ConfigError(cause.message, { cause });
    }
    this.physicalBits = physicalBits(this.#offered);
    this.synic = hyperv === true && kvm.extension(KVM_CAP.HYPERV_SYNIC2) > 0;
    if (hyperv) {
      const supported = kvm.supportedHyperVCpuid();
      if (supported.length === 0) {
        throw new ConfigError(
          "Cannot offer Hyper-V's interface: this KVM has none (Linux 5.11 and CONFIG_KVM_HYPERV)",
        );
      }
      this.#hyperv = { supported, synic: this.synic };
    }
  }

  /** What KVM is told a vCPU's id is, and the guest its APIC's. */
  apicId(id: number): number {
    return apicId(this.topology, id);
  }

  cpuid(id: number, tscKhz: number): CpuidEntry[] {
    return guestCpuid(this.#offered, {
      ...{ id, cpus: this.#cpus, topology: this.topology, tscKhz },
      ...{ nested: this.#nested, hyperv: this.#hyperv },
    });
  }
}
