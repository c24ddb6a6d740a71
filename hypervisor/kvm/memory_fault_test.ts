import { assertEquals } from "@std/assert";
import { KVM_EXIT, RUN } from "./ioctls.ts";
import { faultAddress, KVM_EXIT_MEMORY_FAULT } from "./memory_fault.ts";

function run(reason: number): DataView {
  const view = new DataView(new ArrayBuffer(4096));
  view.setUint32(RUN.exit_reason, reason, true);
  view.setBigUint64(40, 0x12_3456_7000n, true);
  return view;
}

Deno.test("a fault has the guest's address", () => {
  assertEquals(faultAddress(run(KVM_EXIT_MEMORY_FAULT)), 0x12_3456_7000);
});

Deno.test("a KVM that does not know that exit says nothing of where", () => {
  assertEquals(faultAddress(run(KVM_EXIT.UNKNOWN)), -1);
});
