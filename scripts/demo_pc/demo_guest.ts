/**
 * The guest that the demonstration's appliance comes with: stock Debian.
 *
 * @module
 */
import { GUEST_LOGIN, guestSystem } from "../setup/guests.ts";
import type { SeedGuestFiles } from "./flash.ts";

export const DEMO_GUEST = "demo";

export { GUEST_LOGIN };

/** The guest's files, built on the first call. */
export async function demoGuest(): Promise<SeedGuestFiles> {
  const system = await guestSystem({ suite: "trixie", flavour: "cloud" });
  const kernel = "debian-13-vmlinuz";
  const initrd = "debian-13-initrd.img";
  const disk = "debian-13.img";
  return {
    folder: DEMO_GUEST,
    guest: {
      name: DEMO_GUEST,
      cpus: 1,
      memoryMiB: 512,
      cmdline: system.cmdline,
      files: { kernel, initrd, disk },
    },
    files: { [kernel]: system.kernel, [initrd]: system.initrd, [disk]: system.disk },
  };
}
