/**
 * The KVM API's ioctl numbers and constants (linux/kvm.h, asm/kvm.h). A test compares them with the
 * kernel's own headers.
 *
 * @module
 */
import { io, ior, iow, iowr } from "../sys/ioctl.ts";
import {
  ClearDirtyLog,
  ClockData,
  Cpuid2,
  Debugregs,
  DeviceAttr,
  DirtyLog,
  EnableCap,
  Fpu,
  Ioeventfd,
  Irqchip,
  Irqfd,
  IrqRouting,
  LapicState,
  MpState,
  MsrList,
  Msrs,
  NestedState,
  PitConfig,
  PitState2,
  Regs,
  SignalMask,
  Sregs,
  Sregs2,
  UserspaceMemoryRegion,
  VcpuEvents,
  Xcrs,
  Xsave,
} from "./structs.ts";

const KVMIO = 0xAE;

export const KVM = {
  // On /dev/kvm
  GET_API_VERSION: io(KVMIO, 0x00),
  CREATE_VM: io(KVMIO, 0x01),
  GET_MSR_INDEX_LIST: iowr(KVMIO, 0x02, MsrList.size),
  CHECK_EXTENSION: io(KVMIO, 0x03),
  GET_VCPU_MMAP_SIZE: io(KVMIO, 0x04),
  GET_SUPPORTED_CPUID: iowr(KVMIO, 0x05, Cpuid2.size),
  GET_SUPPORTED_HV_CPUID: iowr(KVMIO, 0xc1, Cpuid2.size),
  // On a VM
  CREATE_VCPU: io(KVMIO, 0x41),
  GET_DIRTY_LOG: iow(KVMIO, 0x42, DirtyLog.size),
  SET_USER_MEMORY_REGION: iow(KVMIO, 0x46, UserspaceMemoryRegion.size),
  SET_TSS_ADDR: io(KVMIO, 0x47),
  CREATE_IRQCHIP: io(KVMIO, 0x60),
  GET_IRQCHIP: iowr(KVMIO, 0x62, Irqchip.size),
  // The kernel's own header has it that way round.
  SET_IRQCHIP: ior(KVMIO, 0x63, Irqchip.size),
  SET_GSI_ROUTING: iow(KVMIO, 0x6a, IrqRouting.size),
  IRQFD: iow(KVMIO, 0x76, Irqfd.size),
  CREATE_PIT2: iow(KVMIO, 0x77, PitConfig.size),
  IOEVENTFD: iow(KVMIO, 0x79, Ioeventfd.size),
  SET_CLOCK: iow(KVMIO, 0x7b, ClockData.size),
  GET_CLOCK: ior(KVMIO, 0x7c, ClockData.size),
  GET_PIT2: ior(KVMIO, 0x9f, PitState2.size),
  SET_PIT2: iow(KVMIO, 0xa0, PitState2.size),
  CLEAR_DIRTY_LOG: iowr(KVMIO, 0xc0, ClearDirtyLog.size),
  // On a vCPU
  RUN: io(KVMIO, 0x80),
  GET_REGS: ior(KVMIO, 0x81, Regs.size),
  SET_REGS: iow(KVMIO, 0x82, Regs.size),
  GET_SREGS: ior(KVMIO, 0x83, Sregs.size),
  SET_SREGS: iow(KVMIO, 0x84, Sregs.size),
  GET_MSRS: iowr(KVMIO, 0x88, Msrs.size),
  SET_MSRS: iow(KVMIO, 0x89, Msrs.size),
  SET_SIGNAL_MASK: iow(KVMIO, 0x8b, SignalMask.size),
  SET_FPU: iow(KVMIO, 0x8d, Fpu.size),
  GET_LAPIC: ior(KVMIO, 0x8e, LapicState.size),
  SET_LAPIC: iow(KVMIO, 0x8f, LapicState.size),
  SET_CPUID2: iow(KVMIO, 0x90, Cpuid2.size),
  GET_MP_STATE: ior(KVMIO, 0x98, MpState.size),
  SET_MP_STATE: iow(KVMIO, 0x99, MpState.size),
  GET_VCPU_EVENTS: ior(KVMIO, 0x9f, VcpuEvents.size),
  SET_VCPU_EVENTS: iow(KVMIO, 0xa0, VcpuEvents.size),
  GET_DEBUGREGS: ior(KVMIO, 0xa1, Debugregs.size),
  SET_DEBUGREGS: iow(KVMIO, 0xa2, Debugregs.size),
  SET_TSC_KHZ: io(KVMIO, 0xa2),
  GET_TSC_KHZ: io(KVMIO, 0xa3),
  GET_XSAVE: ior(KVMIO, 0xa4, Xsave.size),
  SET_XSAVE: iow(KVMIO, 0xa5, Xsave.size),
  GET_XCRS: ior(KVMIO, 0xa6, Xcrs.size),
  SET_XCRS: iow(KVMIO, 0xa7, Xcrs.size),
  ENABLE_CAP: iow(KVMIO, 0xa3, EnableCap.size),
  KVMCLOCK_CTRL: io(KVMIO, 0xad),
  GET_NESTED_STATE: iowr(KVMIO, 0xbe, NestedState.size),
  SET_NESTED_STATE: iow(KVMIO, 0xbf, NestedState.size),
  GET_SREGS2: ior(KVMIO, 0xcc, Sregs2.size),
  SET_SREGS2: iow(KVMIO, 0xcd, Sregs2.size),
  GET_XSAVE2: ior(KVMIO, 0xcf, Xsave.size),
  SET_DEVICE_ATTR: iow(KVMIO, 0xe1, DeviceAttr.size),
  GET_DEVICE_ATTR: iow(KVMIO, 0xe2, DeviceAttr.size),
  HAS_DEVICE_ATTR: iow(KVMIO, 0xe3, DeviceAttr.size),
} as const;

/** What KVM_CHECK_EXTENSION is asked. */
export const KVM_CAP = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  NR_VCPUS: 9,
  IRQ_ROUTING: 25,
  IRQFD: 32,
  PIT2: 33,
  IOEVENTFD: 36,
  ADJUST_CLOCK: 39,
  TSC_CONTROL: 60,
  MAX_VCPUS: 66,
  TSC_DEADLINE_TIMER: 72,
  SIGNAL_MSI: 77,
  IMMEDIATE_EXIT: 136,
  HYPERV_SYNIC2: 148,
  NESTED_STATE: 157,
  MANUAL_DIRTY_LOG_PROTECT2: 168,
  SYS_HYPERV_CPUID: 191,
  SREGS2: 200,
  XSAVE2: 208,
} as const;

/** Why KVM_RUN came back: `kvm_run.exit_reason`. */
export const KVM_EXIT = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
} as const;

export const KVM_API_VERSION = 12;
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE = 1;
export const KVM_DIRTY_LOG_INITIALLY_SET = 2;
export const KVM_EXIT_IO_OUT = 1;
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
/** `kvm_clock_data.flags`: its real time counts. */
export const KVM_CLOCK_REALTIME = 1 << 2;
export const KVM_VCPU_TSC_CTRL = 0;
export const KVM_VCPU_TSC_OFFSET = 0;
export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 1 << 2;
export const KVM_PIT_SPEAKER_DUMMY = 1;
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;
export const KVM_MAX_CPUID_ENTRIES = 256;

/** The union of `kvm_run` for KVM_EXIT_IO and KVM_EXIT_MMIO: byte offsets from its start. */
export const RUN = {
  exit_reason: 8,
  io_direction: 32,
  io_size: 33,
  io_port: 34,
  io_count: 36,
  io_data_offset: 40,
  mmio_phys_addr: 32,
  mmio_data: 40,
  mmio_len: 48,
  mmio_is_write: 52,
  internal_suberror: 32,
  fail_entry_reason: 32,
  system_event_type: 32,
} as const;
