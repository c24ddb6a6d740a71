/**
 * What the boot loader told through the firmware's variables.
 *
 * @module
 */
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from "../../hypervisor/sys/mounts.ts";

const FOLDER = "/sys/firmware/efi/efivars";
/** The vendor under which loaders leave their variables. */
const LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/** The id of the partition that was booted from; null if the loader told none. */
export function bootPartitionId(): string | null {
  try {
    mount("efivarfs", FOLDER, { flags: MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC });
    return parsePartitionId(Deno.readFileSync(`${FOLDER}/LoaderDevicePartUUID-${LOADER}`));
  } catch {
    // Booted without UEFI, or by a loader that leaves no variables.
    return null;
  }
}

/** The value of the variable: four bytes of attributes, then UTF-16 with a zero at its end. */
export function parsePartitionId(variable: Uint8Array): string | null {
  const text = new TextDecoder("utf-16le").decode(variable.subarray(4)).replace(/\0.*$/s, "");
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? text.toLowerCase() : null;
}
