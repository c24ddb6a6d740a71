/**
 * What KVM holds of a machine beside its vCPUs: interrupt chips, timer chip and the paravirtual clock.
 *
 * @module
 */
import { realtime } from "../sys/clock.ts";
import { check } from "../sys/errno.ts";
import { type BufferCall, ioctlBuffer } from "../sys/ioctl.ts";
import {
  KVM,
  KVM_CAP,
  KVM_CLOCK_REALTIME,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
} from "./ioctls.ts";
import type { Kvm } from "./kvm.ts";
import { ClockData, Irqchip, PitState2 } from "./structs.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface VmState {
  /** `kvm_irqchip` of both PICs and the IOAPIC. */
  chips: Bytes[];
  /** `kvm_pit_state2` */
  pit: Bytes;
  /** The guest's clock in nanoseconds, and when it was that, in nanoseconds since the epoch. */
  clock: { value: bigint; at: bigint };
}

const CHIPS = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC];

/** Takes the state of a machine none of whose vCPUs runs. */
export function captureVm(fd: number, call: BufferCall = ioctlBuffer): VmState {
  const chips = CHIPS.map((chip_id) => {
    const { $bytes } = Irqchip.create({ chip_id });
    check(call(fd, KVM.GET_IRQCHIP, $bytes), `get interrupt chip ${chip_id}`);
    return $bytes;
  });
  const pit = PitState2.create();
  check(call(fd, KVM.GET_PIT2, pit.$bytes), "get the timer chip");
  const clock = ClockData.create();
  const before = realtime();
  check(call(fd, KVM.GET_CLOCK, clock.$bytes), "get the guest's clock");
  // Where KVM knows of the same instant on both clocks, its word is better.
  const at = (clock.flags & KVM_CLOCK_REALTIME) !== 0 ? clock.realtime : before;
  return { chips, pit: pit.$bytes, clock: { value: clock.clock, at } };
}

/**
 * Gives a new machine this state, after its vCPUs have theirs: an interrupt that the IOAPIC holds goes
 * to a local APIC at once, and would be lost if that were set afterwards.
 */
export function applyVm(kvm: Kvm, fd: number, state: VmState): void {
  state.chips.forEach((chip, i) =>
    check(ioctlBuffer(fd, KVM.SET_IRQCHIP, chip), `set interrupt chip ${CHIPS[i]}`)
  );
  check(ioctlBuffer(fd, KVM.SET_PIT2, state.pit), "set the timer chip");
  const { value, at } = state.clock;
  const now = realtime();
  const elapsed = now > at ? now - at : 0n;
  // KVM adds what has passed by itself where it can, at the very instant that it sets the clock.
  const adds = (kvm.extension(KVM_CAP.ADJUST_CLOCK) & KVM_CLOCK_REALTIME) !== 0 && elapsed > 0n;
  const clock = adds
    ? ClockData.create({ clock: value, realtime: at, flags: KVM_CLOCK_REALTIME })
    : ClockData.create({ clock: value + elapsed });
  check(ioctlBuffer(fd, KVM.SET_CLOCK, clock.$bytes), "set the guest's clock");
}
