/**
 * The time stamp counters of a guest: as they were at one instant, and made to go on as if they had
 * never stopped.
 *
 * A guest takes it that its CPUs' counters are one clock. KVM gives each an offset to the host's, so
 * what is kept is kept as offsets wherever KVM tells them (Documentation/virt/kvm/devices/vcpu.rst):
 * counters that were equal stay equal to the last bit. Where it does not, each is written, and KVM
 * takes those that come within a second for one clock.
 *
 * @module
 */
import { check } from "../sys/errno.ts";
import { realtime } from "../sys/clock.ts";
import { type BufferCall, ioctl, ioctlBuffer } from "../sys/ioctl.ts";
import { addressOf } from "../sys/mapping.ts";
import { KVM, KVM_CAP, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET } from "./ioctls.ts";
import type { Kvm } from "./kvm.ts";
import { DeviceAttr } from "./structs.ts";
import { tscKhz, Vcpu } from "./vcpu.ts";
import { MSR } from "./vcpu_state.ts";
import { readMsr } from "./msrs.ts";

/** All counters at one instant. */
export interface GuestTime {
  /** Nanoseconds since the epoch. */
  at: bigint;
  /** How fast they count; 0 where KVM did not tell. */
  khz: number;
  /** By vCPU. */
  counters: bigint[];
}

const MASK = (1n << 64n) - 1n;
/** KVM takes frequencies that are no further apart than this for one (its `tsc_tolerance_ppm`). */
const TOLERANCE_PPM = 250;

/** Reads or writes the vCPU's offset to the host's counter; undefined where this KVM has no such thing. */
function offset(fd: number, value?: bigint, call = ioctlBuffer): bigint | undefined {
  const word = BigUint64Array.of(value ?? 0n);
  const attribute = DeviceAttr.create({
    group: KVM_VCPU_TSC_CTRL,
    attr: KVM_VCPU_TSC_OFFSET,
    addr: addressOf(word),
  });
  if (call(fd, KVM.HAS_DEVICE_ATTR, attribute.$bytes) < 0) return undefined;
  const request = value === undefined ? KVM.GET_DEVICE_ATTR : KVM.SET_DEVICE_ATTR;
  const action = `${value === undefined ? "get" : "set"} a vCPU's offset to the host's TSC`;
  check(call(fd, request, attribute.$bytes), action);
  return word[0];
}

/** The counters of vCPUs that do not run. */
export function captureTime(fds: readonly number[], call: BufferCall = ioctlBuffer): GuestTime {
  const khz = tscKhz(fds[0]);
  const at = realtime();
  const first = readMsr(fds[0], MSR.TSC, call);
  const base = offset(fds[0], undefined, call);
  const counters = fds.map((fd, id) => {
    if (id === 0) return first;
    const own = base === undefined ? undefined : offset(fd, undefined, call);
    return own === undefined ? readMsr(fd, MSR.TSC, call) : first - base! + own & MASK;
  });
  return { at, khz, counters };
}

/**
 * Has a new vCPU's counter go as fast as the guest knows it to; throws where this host's counts
 * otherwise and cannot be scaled.
 */
export function setFrequency(kvm: Kvm, fd: number, khz: number): void {
  const own = tscKhz(fd);
  if (khz === 0 || own === khz) return;
  const isClose = Math.abs(own - khz) * 1e6 <= khz * TOLERANCE_PPM;
  if (kvm.extension(KVM_CAP.TSC_CONTROL) > 0) {
    check(ioctl(fd, KVM.SET_TSC_KHZ, khz), `have a vCPU's TSC count ${khz} kHz`);
  } else if (!isClose) {
    throw new RangeError(
      `Cannot have the TSC count ${khz} kHz, as the guest knows it: this host's counts ${own} kHz ` +
        "and cannot be scaled",
    );
  }
}

/** Makes the counters of new vCPUs go on: one instance for all of a guest's. */
export class TimeRestorer {
  readonly #time: GuestTime;
  /** What is to be added to what was saved for an offset to this host's counter: the same for all vCPUs. */
  #base: bigint | undefined;

  constructor(time: GuestTime) {
    this.#time = time;
  }

  /** What the counters have counted since: nothing where the host's clock was put back. */
  #cycles(): bigint {
    const ns = realtime() - this.#time.at;
    return ns > 0n ? ns * BigInt(this.#time.khz) / 1_000_000n : 0n;
  }

  /** Sets the counter of vCPU `id`; the first one's first. */
  apply(fd: number, id: number): void {
    const saved = this.#time.counters[id];
    const own = offset(fd);
    if (own === undefined) {
      return new Vcpu(fd).setMsrs([[MSR.TSC, saved + this.#cycles() & MASK]]);
    }
    // Read once: between two vCPUs time goes by, and their offsets must not differ by that.
    this.#base ??= this.#cycles() - (readMsr(fd, MSR.TSC) - own);
    offset(fd, saved + this.#base & MASK);
  }
}
