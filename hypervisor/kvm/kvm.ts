/**
 * /dev/kvm.
 *
 * @module
 */
import { close, O_RDWR, open } from "../sys/files.ts";
import { ioctl, ioctlBuffer } from "../sys/ioctl.ts";
import { check, EINTR, ENODEV, ENOENT, errno, SysError } from "../sys/errno.ts";
import { KVM, KVM_API_VERSION, KVM_CAP, KVM_MAX_CPUID_ENTRIES } from "./ioctls.ts";
import { Cpuid2, CpuidEntry2, MsrList } from "./structs.ts";
import { Vm } from "./vm.ts";

/** One leaf (and sub-leaf) of CPUID. */
export interface CpuidEntry {
  function: number;
  index: number;
  flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** What a guest cannot run without. */
const REQUIRED = ["IRQCHIP", "USER_MEMORY", "IRQ_ROUTING", "IRQFD", "IOEVENTFD", "PIT2"] as const;

export class Kvm {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Opens /dev/kvm and checks that it offers what a guest needs. */
  static open(path = "/dev/kvm"): Kvm {
    let fd: number;
    try {
      fd = open(path, O_RDWR);
    } catch (error) {
      const missing = error instanceof SysError &&
        (error.errno === ENOENT || error.errno === ENODEV);
      throw new Error(
        missing
          ? `Cannot open "${path}": there is none. Switch on VT-x or AMD-V in the firmware's settings and load kvm_intel or kvm_amd`
          : `Cannot open "${path}": is this user allowed to?`,
        { cause: error },
      );
    }
    const kvm = new Kvm(fd);
    const version = ioctl(fd, KVM.GET_API_VERSION, 0);
    if (version !== KVM_API_VERSION) {
      close(fd);
      throw new Error(`Cannot use "${path}": API version ${version} is not ${KVM_API_VERSION}`);
    }
    const lacking = REQUIRED.filter((name) => kvm.extension(KVM_CAP[name]) <= 0);
    if (lacking.length > 0) {
      close(fd);
      throw new Error(`Cannot use "${path}": this KVM lacks ${lacking.join(", ")}`);
    }
    return kvm;
  }

  /** KVM_CHECK_EXTENSION: 0 where the capability is absent. */
  extension(capability: number): number {
    return ioctl(this.fd, KVM.CHECK_EXTENSION, capability);
  }

  /** The size in bytes of a vCPU's `kvm_run` mapping. */
  runSize(): number {
    return check(ioctl(this.fd, KVM.GET_VCPU_MMAP_SIZE, 0), "get the size of kvm_run");
  }

  /** The CPUID leaves that this KVM can offer a guest on this CPU. */
  supportedCpuid(): CpuidEntry[] {
    return this.#cpuid(KVM.GET_SUPPORTED_CPUID, "get the supported CPUID");
  }

  /** The leaves of Hyper-V that this KVM can offer; none where it cannot. */
  supportedHyperVCpuid(): CpuidEntry[] {
    if (this.extension(KVM_CAP.SYS_HYPERV_CPUID) <= 0) return [];
    return this.#cpuid(KVM.GET_SUPPORTED_HV_CPUID, "get the supported CPUID of Hyper-V");
  }

  #cpuid(request: number, action: string): CpuidEntry[] {
    const bytes = new Uint8Array(Cpuid2.size + KVM_MAX_CPUID_ENTRIES * CpuidEntry2.size);
    const header = Cpuid2.at(bytes.buffer);
    header.nent = KVM_MAX_CPUID_ENTRIES;
    check(ioctlBuffer(this.fd, request, bytes), action);
    return Array.from({ length: header.nent }, (_, i) => {
      const e = CpuidEntry2.at(bytes.buffer, Cpuid2.size + i * CpuidEntry2.size);
      const { function: leaf, index, flags, eax, ebx, ecx, edx } = e;
      return { function: leaf, index, flags, eax, ebx, ecx, edx };
    });
  }

  /** The MSRs that this KVM keeps for a guest and tells of by itself. */
  msrs(): number[] {
    const list = (room: number) => {
      const bytes = new Uint8Array(MsrList.size + 4 * room);
      const header = MsrList.at(bytes.buffer);
      header.nmsrs = room;
      const result = ioctlBuffer(this.fd, KVM.GET_MSR_INDEX_LIST, bytes);
      return { header, bytes, result, code: result < 0 ? errno() : 0 };
    };
    // Where there is not enough room, it only says how many there are. That is what is looked at, as errno may be
    // another one by now: V8 has system calls of its own.
    let answer = list(0);
    if (answer.code !== 0 && answer.header.nmsrs > 0) answer = list(answer.header.nmsrs);
    if (answer.code !== 0) throw new SysError("list the MSRs to save", answer.code);
    const { header, bytes } = answer;
    return [...new Uint32Array(bytes.buffer, MsrList.size, header.nmsrs)];
  }

  createVm(): Vm {
    for (;;) {
      const fd = ioctl(this.fd, KVM.CREATE_VM, 0);
      // The kernel takes every lock of this process's memory for it, and gives up if a signal comes.
      if (fd < 0 && errno() === EINTR) continue;
      return new Vm(check(fd, "create a virtual machine"));
    }
  }

  close(): void {
    close(this.fd);
  }
}
