/**
 * The KVM API's structs (Documentation/virt/kvm/api.rst, linux/kvm.h, asm/kvm.h) as declared tables.
 * A test compares every size and offset with the kernel's own headers.
 *
 * @module
 */
import { struct } from "../sys/struct.ts";

export const UserspaceMemoryRegion = struct("kvm_userspace_memory_region", {
  slot: "u32",
  flags: "u32",
  guest_phys_addr: "n64",
  memory_size: "n64",
  userspace_addr: "n64",
});

export const DirtyLog = struct("kvm_dirty_log", {
  slot: "u32",
  padding1: "u32",
  dirty_bitmap: "n64",
});

export const ClearDirtyLog = struct("kvm_clear_dirty_log", {
  slot: "u32",
  num_pages: "u32",
  first_page: "n64",
  dirty_bitmap: "n64",
});

export const PitConfig = struct("kvm_pit_config", { flags: "u32", pad: ["u32", 15] });

export const Irqfd = struct("kvm_irqfd", {
  fd: "i32",
  gsi: "u32",
  flags: "u32",
  resamplefd: "i32",
  pad: ["u8", 16],
});

export const Ioeventfd = struct("kvm_ioeventfd", {
  datamatch: "u64",
  addr: "n64",
  len: "u32",
  fd: "i32",
  flags: "u32",
  pad: ["u8", 36],
});

/** The header of the table; its entries follow. */
export const IrqRouting = struct("kvm_irq_routing", { nr: "u32", flags: "u32" });

/** With its union spelled as `kvm_irq_routing_msi`; `irqchip` and `pin` are its first two words. */
export const IrqRoutingEntry = struct("kvm_irq_routing_entry", {
  gsi: "u32",
  type: "u32",
  flags: "u32",
  pad: "u32",
  address_lo: "u32",
  address_hi: "u32",
  data: "u32",
  devid: "u32",
  rest: ["u32", 4],
});

export const Regs = struct("kvm_regs", {
  rax: "n64",
  rbx: "n64",
  rcx: "n64",
  rdx: "n64",
  rsi: "n64",
  rdi: "n64",
  rsp: "n64",
  rbp: "n64",
  r8: "n64",
  r9: "n64",
  r10: "n64",
  r11: "n64",
  r12: "n64",
  r13: "n64",
  r14: "n64",
  r15: "n64",
  rip: "u64",
  rflags: "n64",
});

export const Segment = struct("kvm_segment", {
  base: "n64",
  limit: "u32",
  selector: "u16",
  type: "u8",
  present: "u8",
  dpl: "u8",
  db: "u8",
  s: "u8",
  l: "u8",
  g: "u8",
  avl: "u8",
  unusable: "u8",
  padding: "u8",
});

export const Dtable = struct("kvm_dtable", { base: "n64", limit: "u16", padding: ["u16", 3] });

/** Segments and tables are read and written through {@linkcode Segment} and {@linkcode Dtable}. */
export const Sregs = struct("kvm_sregs", {
  cs: ["u64", 3],
  ds: ["u64", 3],
  es: ["u64", 3],
  fs: ["u64", 3],
  gs: ["u64", 3],
  ss: ["u64", 3],
  tr: ["u64", 3],
  ldt: ["u64", 3],
  gdt: ["u64", 2],
  idt: ["u64", 2],
  cr0: "n64",
  cr2: "n64",
  cr3: "n64",
  cr4: "n64",
  cr8: "n64",
  efer: "n64",
  apic_base: "n64",
  interrupt_bitmap: ["u64", 4],
});

/** Without what waits to be injected, which `kvm_vcpu_events` has too, and with the PDPTRs. */
export const Sregs2 = struct("kvm_sregs2", {
  cs: ["u64", 3],
  ds: ["u64", 3],
  es: ["u64", 3],
  fs: ["u64", 3],
  gs: ["u64", 3],
  ss: ["u64", 3],
  tr: ["u64", 3],
  ldt: ["u64", 3],
  gdt: ["u64", 2],
  idt: ["u64", 2],
  cr0: "n64",
  cr2: "n64",
  cr3: "n64",
  cr4: "n64",
  cr8: "n64",
  efer: "n64",
  apic_base: "n64",
  flags: "u64",
  pdptrs: ["u64", 4],
});

export const Fpu = struct("kvm_fpu", {
  fpr: ["u8", 128],
  fcw: "u16",
  fsw: "u16",
  ftwx: "u8",
  pad1: "u8",
  last_opcode: "u16",
  last_ip: "u64",
  last_dp: "u64",
  xmm: ["u8", 256],
  mxcsr: "u32",
  pad2: "u32",
});

export const LapicState = struct("kvm_lapic_state", { regs: ["u8", 1024] });

export const MpState = struct("kvm_mp_state", { mp_state: "u32" });

/** What every CPU has; with more components, KVM_CAP_XSAVE2 tells how long it is. */
export const Xsave = struct("kvm_xsave", { region: ["u32", 1024] });

/** `xcrs` are pairs of a number with padding, and a value. */
export const Xcrs = struct("kvm_xcrs", {
  nr_xcrs: "u32",
  flags: "u32",
  xcrs: ["u64", 32],
  padding: ["u64", 16],
});

export const Debugregs = struct("kvm_debugregs", {
  db: ["u64", 4],
  dr6: "u64",
  dr7: "u64",
  flags: "u64",
  reserved: ["u64", 9],
});

/** Its inner structs as bytes: nothing here looks into them. */
export const VcpuEvents = struct("kvm_vcpu_events", {
  exception: ["u8", 8],
  interrupt: ["u8", 4],
  nmi: ["u8", 4],
  sipi_vector: "u32",
  flags: "u32",
  smi: ["u8", 4],
  triple_fault: "u8",
  reserved: ["u8", 26],
  exception_has_payload: "u8",
  exception_payload: "u64",
});

/** The header; what it describes follows. */
export const NestedState = struct("kvm_nested_state", {
  flags: "u16",
  format: "u16",
  size: "u32",
  hdr: ["u64", 15],
});

export const Irqchip = struct("kvm_irqchip", { chip_id: "u32", pad: "u32", chip: ["u64", 64] });

export const PitState2 = struct("kvm_pit_state2", {
  channels: ["u64", 9],
  flags: "u32",
  reserved: ["u32", 9],
});

export const ClockData = struct("kvm_clock_data", {
  clock: "u64",
  flags: "u32",
  pad0: "u32",
  realtime: "u64",
  host_tsc: "u64",
  pad: ["u32", 4],
});

export const DeviceAttr = struct("kvm_device_attr", {
  flags: "u32",
  group: "u32",
  attr: "u64",
  addr: "n64",
});

export const MsrList = struct("kvm_msr_list", { nmsrs: "u32" });
export const Msrs = struct("kvm_msrs", { nmsrs: "u32", pad: "u32" });
export const MsrEntry = struct("kvm_msr_entry", { index: "u32", reserved: "u32", data: "u64" });

export const Cpuid2 = struct("kvm_cpuid2", { nent: "u32", padding: "u32" });
export const CpuidEntry2 = struct("kvm_cpuid_entry2", {
  function: "u32",
  index: "u32",
  flags: "u32",
  eax: "u32",
  ebx: "u32",
  ecx: "u32",
  edx: "u32",
  padding: ["u32", 3],
});

export const EnableCap = struct("kvm_enable_cap", {
  cap: "u32",
  flags: "u32",
  args: ["u64", 4],
  pad: ["u8", 64],
});

export const SignalMask = struct("kvm_signal_mask", { len: "u32" });

/** The part of `kvm_run` that is the same for every exit; the rest is a union from byte 32 on. */
export const Run = struct("kvm_run", {
  request_interrupt_window: "u8",
  immediate_exit: "u8",
  padding1: ["u8", 6],
  exit_reason: "u32",
  ready_for_interrupt_injection: "u8",
  if_flag: "u8",
  flags: "u16",
  cr8: "u64",
  apic_base: "u64",
});
