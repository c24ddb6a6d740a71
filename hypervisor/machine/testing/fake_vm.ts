/**
 * A {@linkcode Vm} that remembers what was asked of it, and refuses what KVM would refuse.
 *
 * @module
 */
import { IrqRouting, IrqRoutingEntry } from "../../kvm/structs.ts";
import type { Vm } from "../../kvm/vm.ts";
import { EEXIST, EINVAL, ENOENT, SysError } from "../../sys/errno.ts";
import { drain } from "../../sys/eventfd.ts";

export interface Route {
  gsi: number;
  type: number;
  address_lo: number;
  address_hi: number;
  data: number;
}

export class FakeVm {
  /** GSI by irqfd. */
  readonly irqfds = new Map<number, number>();
  /** Guest physical addresses by ioeventfd, as "address:fd". */
  readonly ioeventfds = new Set<string>();
  routes: Route[] = [];
  readonly log: string[] = [];
  /** Checks at every change that no route changed under an irqfd, which takes long where there are many. */
  watchRoutes = true;

  assignIrqfd(fd: number, gsi: number): void {
    this.log.push(`assign ${gsi}`);
    if (this.irqfds.has(fd)) throw new SysError("assign an irqfd twice", EINVAL);
    this.irqfds.set(fd, gsi);
  }

  deassignIrqfd(fd: number, gsi: number): void {
    this.log.push(`deassign ${gsi}`);
    if (this.irqfds.get(fd) !== gsi) throw new SysError("deassign an irqfd", EINVAL);
    this.irqfds.delete(fd);
  }

  setGsiRouting(table: Uint8Array<ArrayBuffer>): void {
    const { nr } = IrqRouting.at(table.buffer);
    const before = this.routes;
    this.routes = Array.from({ length: nr }, (_, i) => {
      const entry = IrqRoutingEntry.at(table.buffer, IrqRouting.size + i * IrqRoutingEntry.size);
      const { gsi, type, address_lo, address_hi, data } = entry;
      return { gsi, type, address_lo, address_hi, data };
    });
    // KVM can be made to stumble over a route that changes under an irqfd that uses it.
    for (const gsi of this.watchRoutes ? this.irqfds.values() : []) {
      const of = (routes: Route[]) => JSON.stringify(routes.filter((r) => r.gsi === gsi));
      if (before.length > 0 && of(before) !== of(this.routes)) {
        throw new Error(`The route of GSI ${gsi} changed under its irqfd`);
      }
    }
    this.log.push("routes");
  }

  assignIoeventfd(fd: number, address: number): void {
    for (const other of this.ioeventfds) {
      if (other.startsWith(`${address}:`)) throw new SysError("watch writes", EEXIST);
    }
    this.ioeventfds.add(`${address}:${fd}`);
  }

  deassignIoeventfd(fd: number, address: number): void {
    if (!this.ioeventfds.delete(`${address}:${fd}`)) {
      throw new SysError("stop watching writes", ENOENT);
    }
  }

  /** The messages that KVM would now deliver, as [address, data]. */
  deliver(): [number, number][] {
    const messages: [number, number][] = [];
    for (const [fd, gsi] of this.irqfds) {
      if (!drain(fd)) continue;
      for (const route of this.routes.filter((r) => r.gsi === gsi)) {
        messages.push([route.address_lo, route.data]);
      }
    }
    return messages;
  }

  /** As what the machine takes. */
  get vm(): Vm {
    return this as unknown as Vm;
  }
}
