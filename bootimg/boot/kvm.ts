/**
 * The module that guests run by.
 *
 * @module
 */
import { type Coldplug, kvmModule } from "./coldplug.ts";
import type { StatusBoard } from "./status.ts";
import { read } from "./sysfs.ts";

/** Loads it; the screen tells why there is none. */
export async function loadKvm(coldplug: Coldplug, board: StatusBoard): Promise<void> {
  const module = kvmModule(read("/proc/cpuinfo") ?? "");
  if (module === null) {
    board.problem(
      "kvm",
      "this processor shows no virtualization (Intel VT-x or AMD-V): no guest can run; switch it on in the firmware's set-up",
    );
  } else if (!await coldplug.load(module)) {
    board.problem(
      "kvm",
      `${module} cannot be loaded: no guest can run; the firmware may forbid it`,
    );
  }
}
