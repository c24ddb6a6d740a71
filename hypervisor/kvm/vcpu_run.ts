/**
 * A vCPU as the thread that runs it sees it: its descriptor and its `kvm_run` page. Of its state
 * nothing is here, so that such a thread need not load what reads and writes that.
 *
 * @module
 */
import { ioctl } from "../sys/ioctl.ts";
import { map, type Mapping } from "../sys/mapping.ts";
import { KVM } from "./ioctls.ts";

export class VcpuRun implements Disposable {
  readonly fd: number;
  readonly #mapping: Mapping;
  /** `kvm_run`, whole. */
  readonly run: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  constructor(fd: number, runSize: number) {
    this.fd = fd;
    this.#mapping = map(runSize, { fd });
    const { buffer } = this.#mapping;
    this.run = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** KVM_RUN: 0 on an exit, negative with errno else (EINTR when kicked). */
  enter(): number {
    return ioctl(this.fd, KVM.RUN, 0);
  }

  /** Lets go of the page, which keeps the virtual machine: nothing of this may be used any more. */
  [Symbol.dispose](): void {
    this.#mapping.unmap();
  }
}

/** Tells a guest with a kvmclock that vCPU `fd` was stopped, so that its watchdogs do not bark. */
export function tellPaused(fd: number): void {
  // EINVAL where the guest has no kvmclock.
  ioctl(fd, KVM.KVMCLOCK_CTRL, 0);
}
