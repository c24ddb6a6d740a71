/**
 * A vCPU's thread: it runs the guest, and answers its register accesses.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { KVM_EXIT, KVM_EXIT_IO_OUT, RUN } from "../kvm/ioctls.ts";
import { faultAddress } from "../kvm/memory_fault.ts";
import { tellPaused, VcpuRun } from "../kvm/vcpu_run.ts";
import { Arena } from "../machine/arena.ts";
import type { Bus } from "../machine/bus.ts";
import { pinThread } from "../sys/affinity.ts";
import { EAGAIN, EFAULT, EINTR, errno, SysError } from "../sys/errno.ts";
import { signal } from "../sys/eventfd.ts";
import { blockKick, drainKick, nameThread, threadId } from "../sys/threads.ts";
import { collectGarbage } from "./garbage.ts";
import { GuestLife } from "./lifecycle.ts";
import { Pc, type PcSpec } from "./pc.ts";

export interface VcpuSpec {
  pc: PcSpec;
  id: number;
  fd: number;
  runSize: number;
  /** The host's CPUs to run on; any without. */
  cpus?: readonly number[];
  /** It is thrown away before it ran, and another is to come: see rehearsal.ts. */
  isRehearsal?: boolean;
}

/** The guest's CPU cannot go on; everything else that is thrown is the VMM's or the host's failure. */
class GuestCrash extends Error {}

// The main thread sleeps in epoll and gets no messages: what it must know is in the arena, and it is
// woken to look there.
self.onmessage = ({ data }: MessageEvent<VcpuSpec>) => {
  const life = new GuestLife(new Arena(data.pc.arena));
  try {
    runVcpu(data);
  } catch (error) {
    if (error instanceof GuestCrash) life.end("crash", error.message);
    else life.end("host", `vCPU ${data.id} failed: ${(error as Error)?.stack ?? error}`);
    life.kickAll();
  }
  life.setStopped(data.id);
  signal(data.pc.wakeIoFd);
  if (data.isRehearsal) collectGarbage({ keepsCode: true });
  else self.close();
};

function runVcpu(spec: VcpuSpec): void {
  nameThread(`vcpu${spec.id}`);
  if (spec.cpus?.length) pinThread(spec.cpus);
  const pc = new Pc(spec.pc, {
    ended: (reason) => {
      pc.life.end(reason);
      pc.life.kickAll();
    },
    serialReady: () => signal(spec.pc.wakeIoFd),
  });
  using vcpu = new VcpuRun(spec.fd, spec.runSize);
  // A kick must be pending, not lost, when it comes between two entries into the guest.
  blockKick();
  pc.life.setThread(spec.id, threadId());
  // Until the guest may run. The other vCPUs' threads wait for the first one.
  pc.life.park(() => signal(pc.wakeIoFd));
  let isTidy = false;
  let wasKicked = false;
  while (!pc.life.hasEnded) {
    if (pc.life.isHeld) pause(pc, vcpu);
    else if (pc.life.isTidy && !isTidy) {
      isTidy = true;
      collectGarbage();
    } else if (wasKicked && pc.life.rest()) {
      // A kick that came meanwhile is none to rest for again, and what else it was for is looked at now.
      drainKick();
      wasKicked = false;
    } else {
      // Whoever has something to tell this thread kicks it: no exit of the guest's looks for that.
      while (enter(pc, vcpu, spec.id));
      wasKicked = true;
    }
  }
}

function pause(pc: Pc, vcpu: VcpuRun): void {
  pc.life.park(() => signal(pc.wakeIoFd));
  tellPaused(vcpu.fd);
}

/** Runs the guest until it needs something, and does that; false where the thread was kicked. */
function enter(pc: Pc, vcpu: VcpuRun, id: number): boolean {
  if (vcpu.enter() < 0) {
    const code = errno();
    if (code === EINTR) {
      drainKick();
      return false;
    }
    if (code === EFAULT) throw noMemory(pc, { id, address: faultAddress(vcpu.view) });
    if (code !== EAGAIN) throw new SysError(`run vCPU ${id}`, code);
    return true;
  }
  switch (vcpu.view.getUint32(RUN.exit_reason, true)) {
    case KVM_EXIT.IO:
      pc.lock.acquire();
      try {
        accessPorts(pc.portBus, vcpu);
      } finally {
        pc.lock.release();
      }
      return true;
    case KVM_EXIT.MMIO:
      pc.lock.acquire();
      try {
        accessMemory(pc.memoryBus, vcpu.view);
      } finally {
        pc.lock.release();
      }
      return true;
    case KVM_EXIT.INTR:
      return true;
    case KVM_EXIT.SHUTDOWN:
      throw new GuestCrash(`The guest crashed: vCPU ${id} shut down after a triple fault`);
    default:
      throw new GuestCrash(`The guest crashed: vCPU ${id} ${describeExit(vcpu.view)}`);
  }
}

/** KVM found nothing behind an address that it was told of; -1 where it does not say which. */
function noMemory({ memory }: Pc, vcpu: { id: number; address: number }): Error {
  const { id, address } = vcpu;
  const region = memory.hotplug;
  const isUnknown = address < 0;
  const at = isUnknown ? "" : `, at 0x${address.toString(16)}`;
  const isAddable = region !== undefined &&
    (isUnknown || address >= region.guest && address < region.guest + region.length);
  return isAddable
    ? new GuestCrash(`The guest crashed: vCPU ${id} used memory that was not added${at}`)
    : new SysError(`run vCPU ${id}, for which the host has no memory${at}`, EFAULT);
}

function accessPorts(bus: Bus, vcpu: VcpuRun): void {
  const view = vcpu.view;
  const size = view.getUint8(RUN.io_size);
  const port = view.getUint16(RUN.io_port, true);
  const out = view.getUint8(RUN.io_direction) === KVM_EXIT_IO_OUT;
  let at = view.getUint32(RUN.io_data_offset, true);
  // A string instruction (REP OUTS) accesses the same port many times in one exit.
  for (let n = view.getUint32(RUN.io_count, true); n > 0; n--, at += size) {
    if (out) bus.write(port, size, load(view, at, size));
    else store(view, at, size, bus.read(port, size));
  }
}

function accessMemory(bus: Bus, view: DataView): void {
  const address = view.getUint32(RUN.mmio_phys_addr, true) +
    view.getUint32(RUN.mmio_phys_addr + 4, true) * 0x1_0000_0000;
  const length = view.getUint32(RUN.mmio_len, true);
  const write = view.getUint8(RUN.mmio_is_write) !== 0;
  // Registers are at most 4 bytes wide: wider accesses are two, odd ones are bytes.
  const size = length === 8 ? 4 : length === 1 || length === 2 || length === 4 ? length : 1;
  for (let i = 0; i < length; i += size) {
    const at = RUN.mmio_data + i;
    if (write) bus.write(address + i, size, load(view, at, size));
    else store(view, at, size, bus.read(address + i, size));
  }
}

function load(view: DataView, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function store(view: DataView, at: number, size: number, value: number): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
}

function describeExit(view: DataView): string {
  const reason = view.getUint32(RUN.exit_reason, true);
  const detail = (at: number) => view.getBigUint64(at, true).toString(16);
  switch (reason) {
    case KVM_EXIT.FAIL_ENTRY:
      return `could not enter the guest: hardware reason 0x${detail(RUN.fail_entry_reason)}`;
    case KVM_EXIT.INTERNAL_ERROR:
      return `hit a KVM internal error, suberror ${
        view.getUint32(RUN.internal_suberror, true)
      }: an instruction that KVM cannot emulate`;
    default:
      return `left the guest for a reason that is not known: ${reason}`;
  }
}
