import { HAS_KVM, VMM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { hostileGuest } from "./run.ts";

Deno.test({
  name: "whatever a guest does to its devices, only it is hurt, and a reset helps",
  ignore: !HAS_KVM,
  fn: (t) => hostileGuest(t, VMM),
});
