/**
 * The state in which vCPUs start.
 *
 * @module
 */
import { KVM_CAP } from "../../kvm/ioctls.ts";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { Dtable, Fpu, Regs, Segment } from "../../kvm/structs.ts";
import type { Vcpu } from "../../kvm/vcpu.ts";
import { BOOT, type BootEntry } from "../boot/plan.ts";
import type { GuestMemory } from "../memory.ts";

const CR0_PE = 1;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const RFLAGS_RESERVED = 2;

const MSR = {
  TSC: 0x10,
  FEATURE_CONTROL: 0x3A,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1A0,
  MTRR_DEF_TYPE: 0x2FF,
  STAR: 0xC000_0081,
  LSTAR: 0xC000_0082,
  CSTAR: 0xC000_0083,
  SYSCALL_MASK: 0xC000_0084,
  KERNEL_GS_BASE: 0xC000_0102,
} as const;

const MISC_ENABLE_FAST_STRING = 1n;
const LOCKED_WITH_VMX = 1n | 1n << 2n;
/** In leaf 1. */
const ECX1_VMX = 1 << 5;
/** MTRRs on, everything write-back. */
const MTRR_WRITE_BACK = 1n << 11n | 6n;

/** As both boot protocols want it: null, code of the mode that it starts in, data, TSS. */
const gdtOf = (code: bigint) => [0n, code, 0x00CF_9300_0000_FFFFn, 0x008F_8B00_0000_FFFFn];
const GDT = {
  linux64: gdtOf(0x00AF_9B00_0000_FFFFn),
  pvh: gdtOf(0x00CF_9B00_0000_FFFFn),
} as const;

/** A segment register's hidden part, unpacked from its descriptor. */
function segment(gdt: readonly bigint[], selector: number): InstanceType<typeof Uint8Array> {
  const d = gdt[selector];
  const bit = (n: bigint, mask = 1n) => Number(d >> n & mask);
  const limit = Number(d & 0xFFFFn | (d >> 32n & 0xF_0000n));
  const g = bit(55n);
  return Segment.create({
    base: 0,
    limit: g ? limit * 4096 + 4095 : limit,
    selector: selector * 8,
    type: bit(40n, 15n),
    s: bit(44n),
    dpl: bit(45n, 3n),
    present: bit(47n),
    avl: bit(52n),
    l: bit(53n),
    db: bit(54n),
    g,
  }).$bytes;
}

/** Writes what the vCPUs' tables point to; once per guest. */
export function writeDescriptorTables(memory: GuestMemory, mode: BootEntry["mode"]): void {
  GDT[mode].forEach((entry, i) => memory.view.setBigUint64(BOOT.GDT + i * 8, entry, true));
  memory.view.setBigUint64(BOOT.IDT, 0n, true);
}

/** CPUID and MSRs: for every vCPU. CPUID goes first: what MSRs mean depends on it. */
export function setUpVcpu(
  vcpu: Vcpu,
  cpuid: readonly CpuidEntry[],
  options: { synic?: boolean } = {},
): void {
  vcpu.setCpuid(cpuid);
  if (options.synic) vcpu.enable(KVM_CAP.HYPERV_SYNIC2);
  const hasVmx = cpuid.some((e) => e.function === 1 && (e.ecx & ECX1_VMX) !== 0);
  vcpu.setMsrs([
    [MSR.SYSENTER_CS, 0n],
    [MSR.SYSENTER_ESP, 0n],
    [MSR.SYSENTER_EIP, 0n],
    [MSR.STAR, 0n],
    [MSR.CSTAR, 0n],
    [MSR.KERNEL_GS_BASE, 0n],
    [MSR.SYSCALL_MASK, 0n],
    [MSR.LSTAR, 0n],
    [MSR.TSC, 0n],
    [MSR.MISC_ENABLE, MISC_ENABLE_FAST_STRING],
    [MSR.MTRR_DEF_TYPE, MTRR_WRITE_BACK],
    // As firmware leaves it where virtualization is switched on.
    ...(hasVmx ? [[MSR.FEATURE_CONTROL, LOCKED_WITH_VMX]] as const : []),
  ]);
  vcpu.setFpu(Fpu.create({ fcw: 0x37F, mxcsr: 0x1F80 }));
  setLocalInterrupts(vcpu);
}

/** LINT0 takes the PIC's interrupts, LINT1 is NMI, as the MADT says. */
function setLocalInterrupts(vcpu: Vcpu): void {
  const LVT_LINT0 = 0x350;
  const LVT_LINT1 = 0x360;
  const MODE_NMI = 0b100;
  const MODE_EXTINT = 0b111;
  const lapic = vcpu.lapic();
  const view = new DataView(lapic.regs.buffer, lapic.regs.byteOffset);
  const mode = (at: number, value: number) =>
    view.setUint32(at, view.getUint32(at, true) & ~0x700 | value << 8, true);
  mode(LVT_LINT0, MODE_EXTINT);
  mode(LVT_LINT1, MODE_NMI);
  vcpu.setLapic(lapic);
}

/** The boot processor, about to start the kernel; the others wait for INIT and SIPI in KVM. */
export function setUpBootVcpu(vcpu: Vcpu, { entry, mode }: BootEntry): void {
  const gdt = GDT[mode];
  const sregs = vcpu.sregs();
  const put = (field: BigUint64Array, bytes: Uint8Array) =>
    new Uint8Array(field.buffer, field.byteOffset, bytes.length).set(bytes);
  put(sregs.cs, segment(gdt, 1));
  for (const data of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) put(data, segment(gdt, 2));
  put(sregs.tr, segment(gdt, 3));
  put(sregs.gdt, Dtable.create({ base: BOOT.GDT, limit: gdt.length * 8 - 1 }).$bytes);
  put(sregs.idt, Dtable.create({ base: BOOT.IDT, limit: 7 }).$bytes);
  if (mode === "linux64") {
    sregs.cr0 = CR0_PE + CR0_PG;
    sregs.cr3 = BOOT.PML4;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LME | EFER_LMA;
  } else {
    sregs.cr0 = CR0_PE;
    sregs.cr4 = 0;
    sregs.efer = 0;
  }
  vcpu.setSregs(sregs);
  const common = { rip: BigInt(entry), rflags: RFLAGS_RESERVED };
  vcpu.setRegs(Regs.create(
    mode === "linux64"
      ? { ...common, rsi: BOOT.ZERO_PAGE, rsp: BOOT.STACK, rbp: BOOT.STACK }
      : { ...common, rbx: BOOT.START_INFO },
  ));
}
