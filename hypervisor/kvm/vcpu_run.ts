/**
 * A vCPU as the thread that runs it sees it: its descriptor and its `kvm_run` page. Of its state
 * nothing is here, so that such a thread need not load what reads and writes that.
 *
 * @module
 */
import { ioctl } from "../sys/ioctl.ts";
import { map } from "../sys/mapping.ts";
import { KVM } from "./ioctls.ts";

export class VcpuRun {
  readonly fd: number;
  /** `kvm_run`, whole. */
  readonly run: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  constructor(fd: number, runSize: number) {
    this.fd = fd;
    const buffer = map(runSize, { fd }).buffer;
    this.run = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** KVM_RUN: 0 on an exit, negative with errno else (EINTR when kicked). */
  enter(): number {
    return ioctl(this.fd, KVM.RUN, 0);
  }
}

/** Tells a guest with a kvmclock that vCPU `fd` was stopped, so that its watchdogs do not bark. */
export function tellPaused(fd: number): void {
  // EINVAL where the guest has no kvmclock.
  ioctl(fd, KVM.KVMCLOCK_CTRL, 0);
}
