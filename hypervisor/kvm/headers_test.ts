import { assertEquals } from "@std/assert";
import { type Claims, claimsOf, contradictions } from "../sys/testing/headers.ts";
import * as ioctls from "./ioctls.ts";
import * as structs from "./structs.ts";

const INCLUDES = ["linux/kvm.h"];

const OPTIONS: Partial<Record<keyof typeof structs, Parameters<typeof claimsOf>[1]>> = {
  IrqRoutingEntry: {
    renamed: {
      address_lo: "u.msi.address_lo",
      address_hi: "u.msi.address_hi",
      data: "u.msi.data",
      devid: "u.msi.devid",
    },
    ours: ["rest"],
  },
  Run: { partial: true },
};

Deno.test("every struct of the KVM API has the size and offsets of the kernel's headers", () => {
  const claims: Claims = {};
  for (const [key, table] of Object.entries(structs)) {
    Object.assign(claims, claimsOf(table, OPTIONS[key as keyof typeof structs]));
  }
  assertEquals(contradictions(INCLUDES, claims), []);
});

Deno.test("the words of a route to a chip are those of a route to a message", () => {
  const { address_lo, address_hi } = structs.IrqRoutingEntry.offsets;
  assertEquals(
    contradictions(INCLUDES, {
      "offsetof(struct kvm_irq_routing_entry, u.irqchip.irqchip)": address_lo,
      "offsetof(struct kvm_irq_routing_entry, u.irqchip.pin)": address_hi,
    }),
    [],
  );
});

Deno.test("every number of the KVM API is that of the kernel's headers", () => {
  const claims: Claims = {};
  const add = (prefix: string, table: Record<string, number>) => {
    for (const [key, value] of Object.entries(table)) claims[prefix + key] = value;
  };
  add("KVM_", ioctls.KVM);
  add("KVM_CAP_", ioctls.KVM_CAP);
  add("KVM_EXIT_", ioctls.KVM_EXIT);
  // How many leaves may be asked for is no part of the kernel's interface.
  const { KVM_MAX_CPUID_ENTRIES: _, ...numbers } = ioctls;
  for (const [key, value] of Object.entries(numbers)) {
    if (typeof value === "number") claims[key] = value;
  }
  assertEquals(contradictions(INCLUDES, claims), []);
});

Deno.test("every offset into kvm_run is that of the kernel's headers", () => {
  const paths: Record<keyof typeof ioctls.RUN, string> = {
    exit_reason: "exit_reason",
    io_direction: "io.direction",
    io_size: "io.size",
    io_port: "io.port",
    io_count: "io.count",
    io_data_offset: "io.data_offset",
    mmio_phys_addr: "mmio.phys_addr",
    mmio_data: "mmio.data",
    mmio_len: "mmio.len",
    mmio_is_write: "mmio.is_write",
    internal_suberror: "internal.suberror",
    fail_entry_reason: "fail_entry.hardware_entry_failure_reason",
    system_event_type: "system_event.type",
  };
  const claims: Claims = {};
  for (const [key, path] of Object.entries(paths)) {
    claims[`offsetof(struct kvm_run, ${path})`] = ioctls.RUN[key as keyof typeof ioctls.RUN];
  }
  assertEquals(contradictions(INCLUDES, claims), []);
});
