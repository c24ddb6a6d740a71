import { assert, assertEquals } from "@std/assert";
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { Dtable, Fpu, LapicState, Regs, Segment, Sregs } from "../../kvm/structs.ts";
import type { Vcpu } from "../../kvm/vcpu.ts";
import { map } from "../../sys/mapping.ts";
import { BOOT } from "../boot/plan.ts";
import { GuestMemory } from "../memory.ts";
import { setUpBootVcpu, setUpVcpu, writeDescriptorTables } from "./setup.ts";

/** A vCPU that keeps what it is given. */
class FakeVcpu {
  readonly order: string[] = [];
  readonly msrs = new Map<number, bigint>();
  regsNow = Regs.create();
  sregsNow = Sregs.create({ apic_base: 0xFEE0_0900 });
  lapicNow = LapicState.create();
  fpuNow = Fpu.create();

  setCpuid(entries: readonly CpuidEntry[]) {
    this.order.push(`cpuid ${entries.length}`);
  }
  setMsrs(msrs: readonly (readonly [number, bigint])[]) {
    this.order.push("msrs");
    for (const [index, data] of msrs) this.msrs.set(index, data);
  }
  enable(capability: number) {
    this.order.push(`enable ${capability}`);
  }
  setFpu(fpu: typeof this.fpuNow) {
    this.fpuNow = fpu;
  }
  lapic = () => this.lapicNow;
  setLapic(lapic: typeof this.lapicNow) {
    this.lapicNow = lapic;
  }
  sregs = () => this.sregsNow;
  setSregs(sregs: typeof this.sregsNow) {
    this.sregsNow = sregs;
  }
  setRegs(regs: typeof this.regsNow) {
    this.regsNow = regs;
  }
  get vcpu(): Vcpu {
    return this as unknown as Vcpu;
  }
}

const segmentOf = (field: BigUint64Array) => Segment.at(field.buffer, field.byteOffset);

Deno.test("the boot processor starts in 64-bit mode at the entry, with RSI at the zero page", () => {
  const fake = new FakeVcpu();
  setUpBootVcpu(fake.vcpu, { entry: 0x10_0200, mode: "linux64" });
  const { regsNow: regs, sregsNow: sregs } = fake;
  assertEquals([regs.rip, regs.rsi, regs.rflags], [0x10_0200n, BOOT.ZERO_PAGE, 2]);
  assertEquals(regs.rsp, BOOT.STACK);
  assertEquals(sregs.cr0, 0x8000_0001);
  assertEquals([sregs.cr3, sregs.cr4, sregs.efer], [BOOT.PML4, 0x20, 0x500]);
  assertEquals(sregs.apic_base, 0xFEE0_0900, "what is not ours stays");
  const { selector, type, s, present, l, db, g, dpl, limit } = segmentOf(sregs.cs);
  assertEquals(
    { selector, type, s, present, l, db, g, dpl, limit },
    { selector: 8, type: 0xB, s: 1, present: 1, l: 1, db: 0, g: 1, dpl: 0, limit: 0xFFFF_FFFF },
  );
  for (const field of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) {
    const data = segmentOf(field);
    assertEquals([data.selector, data.type, data.l, data.db], [0x10, 3, 0, 1]);
  }
  const task = segmentOf(sregs.tr);
  assertEquals([task.selector, task.type, task.s, task.present], [0x18, 0xB, 0, 1]);
});

Deno.test("PVH starts the boot processor in flat 32-bit mode, with EBX at the start info", () => {
  const fake = new FakeVcpu();
  fake.sregsNow.efer = 0x500;
  setUpBootVcpu(fake.vcpu, { entry: 0x100_0B20, mode: "pvh" });
  const { regsNow: regs, sregsNow: sregs } = fake;
  assertEquals([regs.rip, regs.rbx, regs.rflags], [0x100_0B20n, BOOT.START_INFO, 2]);
  assertEquals([sregs.cr0, sregs.cr4, sregs.efer], [1, 0, 0]);
  const { base, limit, type, s, present, l, db } = segmentOf(sregs.cs);
  assertEquals(
    { base, limit, type, s, present, l, db },
    { base: 0, limit: 0xFFFF_FFFF, type: 0xB, s: 1, present: 1, l: 0, db: 1 },
  );
  const data = segmentOf(sregs.ds);
  assertEquals([data.base, data.limit, data.type, data.db], [0, 0xFFFF_FFFF, 3, 1]);
  assertEquals(segmentOf(sregs.tr).type, 0xB);
});

Deno.test("the descriptor tables in memory are those that the segments were made from", () => {
  for (const [mode, long] of [["linux64", 1n], ["pvh", 0n]] as const) {
    const mapping = map(2 ** 20);
    const memory = new GuestMemory(mapping.address, mapping.length);
    writeDescriptorTables(memory, mode);
    const fake = new FakeVcpu();
    setUpBootVcpu(fake.vcpu, { entry: 0, mode });
    const { gdt: field, idt: idtField, cs } = fake.sregsNow;
    const gdt = Dtable.at(field.buffer, field.byteOffset);
    const idt = Dtable.at(idtField.buffer, idtField.byteOffset);
    assertEquals([gdt.base, gdt.limit, idt.base], [BOOT.GDT, 31, BOOT.IDT]);
    assert(gdt.base + gdt.limit < idt.base);
    assertEquals(memory.view.getBigUint64(BOOT.GDT, true), 0n);
    const code = memory.view.getBigUint64(BOOT.GDT + segmentOf(cs).selector, true);
    assertEquals([code >> 53n & 1n, code >> 40n & 15n], [long, 0xBn]);
    mapping.unmap();
  }
});

Deno.test("every processor gets CPUID before the MSRs whose meaning depends on it", () => {
  const fake = new FakeVcpu();
  setUpVcpu(fake.vcpu, []);
  assertEquals(fake.order, ["cpuid 0", "msrs"]);
  assertEquals(fake.msrs.get(0x2FF), 0x806n, "MTRRs on, write-back");
  assertEquals(fake.msrs.get(0x1A0), 1n, "fast strings");
  assertEquals(fake.msrs.get(0x10), 0n, "all clocks start at 0");
  assertEquals([fake.fpuNow.fcw, fake.fpuNow.mxcsr], [0x37F, 0x1F80]);
});

Deno.test("virtualization that the CPU has is switched on, Hyper-V's interrupts where wanted", () => {
  const plain = new FakeVcpu();
  setUpVcpu(plain.vcpu, []);
  assertEquals(plain.msrs.has(0x3A), false);
  const leaf1 = { function: 1, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 1 << 5, edx: 0 };
  const nested = new FakeVcpu();
  setUpVcpu(nested.vcpu, [leaf1], { synic: true });
  assertEquals(nested.msrs.get(0x3A), 5n);
  assertEquals(nested.order, ["cpuid 1", "enable 148", "msrs"]);
});

Deno.test("LINT0 takes the PIC's interrupts, LINT1 is NMI, and their masks stay", () => {
  const fake = new FakeVcpu();
  const view = new DataView(fake.lapicNow.regs.buffer);
  view.setUint32(0x350, 0x1_0000, true);
  view.setUint32(0x360, 0x1_0700, true);
  setUpVcpu(fake.vcpu, []);
  const after = new DataView(fake.lapicNow.regs.buffer);
  assertEquals(after.getUint32(0x350, true), 0x1_0700);
  assertEquals(after.getUint32(0x360, true), 0x1_0400);
});
