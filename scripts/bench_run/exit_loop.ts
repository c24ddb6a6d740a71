/**
 * How long one exit takes: a guest that writes to a port for ever, handled as the VMM's vCPU
 * threads handle it, by the vCPU's handle, the lock and the bus. Prints nanoseconds per exit.
 *
 * @module
 */
import { KVM_EXIT, RUN } from "../../hypervisor/kvm/ioctls.ts";
import { Kvm } from "../../hypervisor/kvm/kvm.ts";
import { Regs } from "../../hypervisor/kvm/structs.ts";
import { Vcpu } from "../../hypervisor/kvm/vcpu.ts";
import { VcpuRun } from "../../hypervisor/kvm/vcpu_run.ts";
import { Arena } from "../../hypervisor/machine/arena.ts";
import { Bus } from "../../hypervisor/machine/bus.ts";
import { Lock } from "../../hypervisor/machine/lock.ts";
import { map } from "../../hypervisor/sys/mapping.ts";

const PORT = 0x80;
/** mov dx, 0x80; again: out dx, al; jmp again */
const CODE = [0xba, PORT, 0x00, 0xee, 0xeb, 0xfd];

/** Runs the guest for as many exits and returns the nanoseconds that each took. */
export function exitNanoseconds(exits: number): number {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  const ram = map(4096);
  new Uint8Array(ram.buffer).set(CODE);
  vm.setMemoryRegion(0, { guest: 0, size: 4096, host: ram.address });
  const fd = vm.createVcpu(0);
  const state = new Vcpu(fd);
  const vcpu = new VcpuRun(fd, kvm.runSize());
  const sregs = state.sregs();
  // struct kvm_segment as three words: the base, then limit and selector, then attributes.
  sregs.cs[0] = 0n;
  sregs.cs[1] &= ~(0xffffn << 32n);
  state.setSregs(sregs);
  state.setRegs(Regs.create({ rax: 1n, rflags: 2n }));
  const lock = new Lock(new Arena(), "bench");
  const bus = new Bus();
  let written = 0;
  bus.attach(PORT, 1, { read: () => 0, write: (_offset, _size, value) => void (written += value) });

  const view = vcpu.view;
  const handle = () => {
    if (vcpu.enter() < 0) throw new Error("Cannot measure exits: KVM_RUN failed");
    if (view.getUint32(RUN.exit_reason, true) !== KVM_EXIT.IO) {
      throw new Error("Cannot measure exits: the guest left for another reason");
    }
    lock.acquire();
    const size = view.getUint8(RUN.io_size);
    const port = view.getUint16(RUN.io_port, true);
    const at = view.getUint32(RUN.io_data_offset, true);
    for (let n = view.getUint32(RUN.io_count, true); n > 0; n--) {
      bus.write(port, size, view.getUint8(at));
    }
    lock.release();
  };
  // As many that do not count, until V8 has compiled what it will.
  for (let i = 0; i < exits; i++) handle();
  written = 0;
  const began = performance.now();
  for (let i = 0; i < exits; i++) handle();
  const nanoseconds = (performance.now() - began) * 1e6 / exits;
  if (written !== exits) throw new Error(`Cannot measure exits: ${written} of ${exits} arrived`);
  return nanoseconds;
}

if (import.meta.main) console.log(Math.round(exitNanoseconds(Number(Deno.args[0] ?? 20_000))));
