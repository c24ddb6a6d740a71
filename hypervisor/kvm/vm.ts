/**
 * A virtual machine's descriptor. Any thread of the process may make one of these from the number.
 *
 * @module
 */
import { check, errno, SysError } from "../sys/errno.ts";
import { close } from "../sys/files.ts";
import { ioctl, ioctlBuffer, ioctlValue } from "../sys/ioctl.ts";
import { KVM, KVM_IOEVENTFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_DEASSIGN } from "./ioctls.ts";
import {
  ClearDirtyLog,
  DirtyLog,
  EnableCap,
  Ioeventfd,
  Irqfd,
  PitConfig,
  UserspaceMemoryRegion,
} from "./structs.ts";

export class Vm {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** The three pages that VT-x wants for real mode, outside RAM and below 4 GiB. */
  setTssAddress(address: number): void {
    check(ioctlValue(this.fd, KVM.SET_TSS_ADDR, BigInt(address)), "set the TSS address");
  }

  /** Backs guest physical memory with memory of this process; a size of 0 removes the slot. */
  setMemoryRegion(
    slot: number,
    region: { guest: number; size: number; host: number; flags?: number },
  ): void {
    const r = UserspaceMemoryRegion.create({
      slot,
      flags: region.flags ?? 0,
      guest_phys_addr: region.guest,
      memory_size: region.size,
      userspace_addr: region.host,
    });
    check(
      ioctlBuffer(this.fd, KVM.SET_USER_MEMORY_REGION, r.$bytes),
      `give the guest ${region.size} bytes of memory at 0x${region.guest.toString(16)}`,
    );
  }

  /** KVM_ENABLE_CAP with one argument; false where this KVM refuses it. */
  enable(capability: number, argument: number): boolean {
    const cap = EnableCap.create({ cap: capability });
    cap.args[0] = BigInt(argument);
    return ioctlBuffer(this.fd, KVM.ENABLE_CAP, cap.$bytes) === 0;
  }

  /** Writes the pages of a slot that were written to a bitmap at `address`, a bit for each. */
  dirtyLog(slot: number, address: number): void {
    const log = DirtyLog.create({ slot, dirty_bitmap: address });
    check(
      ioctlBuffer(this.fd, KVM.GET_DIRTY_LOG, log.$bytes),
      `read the dirty log of slot ${slot}`,
    );
  }

  /**
   * Forgets the set bits of a bitmap at `address`, which begins with the slot's page `first`, a multiple
   * of 64. `count` is one too, or reaches the slot's end.
   */
  clearDirtyLog(slot: number, range: { first: number; count: number; address: number }): void {
    const clear = ClearDirtyLog.create({
      slot,
      num_pages: range.count,
      first_page: range.first,
      dirty_bitmap: range.address,
    });
    check(
      ioctlBuffer(this.fd, KVM.CLEAR_DIRTY_LOG, clear.$bytes),
      `clear ${range.count} pages of the dirty log of slot ${slot}`,
    );
  }

  /** PIC, IOAPIC and, for the vCPUs made after, local APICs, in the kernel. */
  createIrqchip(): void {
    check(ioctl(this.fd, KVM.CREATE_IRQCHIP, 0), "create the interrupt chips");
  }

  createPit(flags: number): void {
    const config = PitConfig.create({ flags });
    check(ioctlBuffer(this.fd, KVM.CREATE_PIT2, config.$bytes), "create the timer chip");
  }

  /** The new vCPU's descriptor. Its APIC id is `id`. */
  createVcpu(id: number): number {
    return check(ioctl(this.fd, KVM.CREATE_VCPU, id), `create vCPU ${id}`);
  }

  /** From now on `fd` raises `gsi`. What was signalled before is delivered now. */
  assignIrqfd(fd: number, gsi: number): void {
    const irqfd = Irqfd.create({ fd, gsi });
    check(ioctlBuffer(this.fd, KVM.IRQFD, irqfd.$bytes), `route eventfd ${fd} to GSI ${gsi}`);
  }

  deassignIrqfd(fd: number, gsi: number): void {
    const irqfd = Irqfd.create({ fd, gsi, flags: KVM_IRQFD_FLAG_DEASSIGN });
    check(ioctlBuffer(this.fd, KVM.IRQFD, irqfd.$bytes), `take eventfd ${fd} off GSI ${gsi}`);
  }

  /** A guest's write of any value to the 4 bytes at `address` signals `fd` without an exit. */
  assignIoeventfd(fd: number, address: number): void {
    this.#ioeventfd(fd, address, 0, "watch");
  }

  deassignIoeventfd(fd: number, address: number): void {
    this.#ioeventfd(fd, address, KVM_IOEVENTFD_FLAG_DEASSIGN, "stop watching");
  }

  #ioeventfd(fd: number, address: number, flags: number, action: string): void {
    // A length of 0 matches a write of any width, which also is KVM's fastest path.
    const e = Ioeventfd.create({ fd, addr: address, len: 0, flags });
    if (ioctlBuffer(this.fd, KVM.IOEVENTFD, e.$bytes) < 0) {
      throw new SysError(`${action} writes to 0x${address.toString(16)}`, errno());
    }
  }

  /** Replaces the whole table of GSI routes: `kvm_irq_routing` and its entries. */
  setGsiRouting(table: Uint8Array<ArrayBuffer>): void {
    check(ioctlBuffer(this.fd, KVM.SET_GSI_ROUTING, table), "set the interrupt routes");
  }

  close(): void {
    close(this.fd);
  }
}
