/**
 * The appliance's own programs for disks that the root of trixie has not got, unpacked from the packages
 * that its image is made of: for tests with real disks in the lab.
 *
 * @module
 */
import { builtOnce } from "./built_once.ts";
import { fetchDebs, readLock, unpackDeb } from "./debs.ts";

const LOCK = "bootimg/packages.lock";
const PACKAGES = ["mdadm", "smartmontools"];

/** The folder under which the packages' `usr/sbin` lies, unpacked on the first call. */
export async function diskTools(): Promise<string> {
  const pins = (await readLock(LOCK)).trixie!;
  return await builtOnce({
    name: "disk-tools",
    madeFrom: PACKAGES.map((name) => pins[name].sha256).join("\n"),
    step: "unpacking mdadm and smartctl",
    async build(target) {
      const debs = await fetchDebs(LOCK, "trixie", PACKAGES);
      for (const path of Object.values(debs)) await unpackDeb(path, target);
    },
  });
}
