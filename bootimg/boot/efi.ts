/**
 * Where this system was started from: told through the firmware's variables by its own first part, or
 * by the boot loader on the kernel's command line, where there is no such firmware.
 *
 * @module
 */
import { mount, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from "../../hypervisor/sys/mounts.ts";
import { read } from "./sysfs.ts";

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FOLDER = "/sys/firmware/efi/efivars";
/** The vendor under which loaders leave their variables. */
const LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/** The id of the partition that was booted from; null if none was, or if nobody told. */
export function bootPartitionId(): string | null {
  return partitionIdOfWords(read("/proc/cmdline") ?? "") ?? partitionIdOfFirmware();
}

/** The id that the boot loader puts on the command line under a BIOS. */
export function partitionIdOfWords(cmdline: string): string | null {
  // What follows the dashes is the first process's.
  const word = /(?:^|\s)denovisor\.part=(\S+)/.exec(cmdline.replace(/\s--\s.*$/s, ""))?.[1];
  return word !== undefined && ID.test(word) ? word.toLowerCase() : null;
}

function partitionIdOfFirmware(): string | null {
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
  return ID.test(text) ? text.toLowerCase() : null;
}
