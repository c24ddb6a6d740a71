/**
 * A guest that was never run, as data that is right in all that can be seen of it.
 *
 * @module
 */
import { packMsrs } from "../../../kvm/msrs.ts";
import { Irqchip, PitState2, Regs, Sregs2, VcpuEvents, Xcrs } from "../../../kvm/structs.ts";
import { Debugregs, LapicState, Xsave } from "../../../kvm/structs.ts";
import { Arena } from "../../../machine/arena.ts";
import { Uart16550 } from "../../../devices/uart16550.ts";
import { parseConfig } from "../../config/guest.ts";
import type { SavedGuest } from "../saved_guest.ts";

export const CONFIG = {
  name: "saved",
  kernel: "/kernel",
  cmdline: "",
  memoryMiB: 128,
  cpus: 2,
  disks: [{ path: "/disk", serial: "1" }],
  nets: [],
  hotplugPorts: 2,
};

export function savedGuest(): SavedGuest {
  const arena = new Arena();
  new Uart16550(arena, { name: "serial0", interrupt: () => {}, wakeHost: () => {} }).powerOn();
  const vcpu = (id: number): SavedGuest["machine"]["vcpus"][number] => ({
    cpuid: [{ function: 0, index: 0, flags: 0, eax: 13, ebx: 1, ecx: 2, edx: id }],
    mpState: id,
    regs: Regs.create({ rip: 0x1234n, rax: id }).$bytes,
    sregs: Sregs2.create({ cr0: 1 }).$bytes,
    xsave: new Uint8Array(Xsave.size),
    xcrs: new Uint8Array(Xcrs.size),
    debugregs: new Uint8Array(Debugregs.size),
    lapic: new Uint8Array(LapicState.size),
    events: new Uint8Array(VcpuEvents.size),
    msrs: packMsrs([[0x277, 0x0007_0406_0007_0406n], [0xC000_0080, 0x500n]]),
  });
  return {
    config: parseConfig(CONFIG),
    plugged: [{ name: "block1", slot: 1, device: { disk: { path: "/other" } } }],
    settings: { block0: { rateLimit: { bytesPerSecond: 5 } } },
    machine: {
      vcpus: [vcpu(0), vcpu(1)],
      time: { at: 1_700_000_000_000_000_000n, khz: 2_445_430, counters: [5n, 2n ** 64n - 1n] },
      vm: {
        chips: [0, 1, 2].map((chip_id) => Irqchip.create({ chip_id }).$bytes),
        pit: PitState2.create().$bytes,
        clock: { value: 77n, at: 88n },
      },
      arena: arena.sections(),
    },
    memory: { length: 128 << 20, digests: new Uint8Array(64 * 32).fill(0xab) },
    point: { run: "cd".repeat(16), sequence: 3 },
    takenAt: 1_700_000_000_000,
  };
}
