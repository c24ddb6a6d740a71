import { HAS_KVM } from "../../hypervisor/vmm/testing/vmm_process.ts";
import { hostileGuest } from "./run.ts";

const MAIN = new URL("../../hypervisor/vmm/main.ts", import.meta.url).pathname;

Deno.test({
  name: "whatever a guest does to its devices, only it is hurt, and a reset helps",
  ignore: !HAS_KVM,
  fn: (t) => hostileGuest(t, [Deno.execPath(), "run", "-A", "--no-check", "--quiet", MAIN]),
});
