/**
 * Whether tests can run guests on this machine.
 *
 * @module
 */
import { Kvm } from "../kvm.ts";

/** Tests that need a guest are ignored where this is false. */
export const HAS_KVM = (() => {
  try {
    Kvm.open().close();
    return true;
  } catch {
    return false;
  }
})();
