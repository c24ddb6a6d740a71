/**
 * The names by which the appliance knows its own partitions and volumes.
 *
 * @module
 */

/** The partition with the boot loader and the system that came with the image. */
export const BOOT_NAME = "denovisor-boot";
/** What a BIOS loads of the boot loader. */
export const BIOS_NAME = "denovisor-bios";
/** What the boot loader and process 1 tell each other. */
export const STATE_NAME = "denovisor-state";
/** The partitions that newer systems are written to. */
export const SLOT_NAMES = { a: "denovisor-a", b: "denovisor-b" } as const;
/** The partition with all that the host keeps. */
export const DATA_NAME = "denovisor-data";
/**
 * The same where its file system is on another disk too. It has a name of its own because releases that
 * know of no mirrors would write to one half of it.
 */
export const MIRROR_NAME = "denovisor-mirror";
/** A partition that is being made: it holds nothing of worth. */
export const UNFINISHED_NAME = "denovisor-unfinished";
/** The label of FAT volumes in which the appliance looks for guests to import. */
export const SEED_LABEL = "DENOVISOR";

/** Whether a partition of that name is booted from. */
export function isBootName(name: string): boolean {
  return name === BOOT_NAME || name.startsWith(`${BOOT_NAME}-`);
}

/** Whether a partition of that name holds data, or a half of them. */
export function isDataName(name: string): boolean {
  return name === DATA_NAME || name === MIRROR_NAME;
}
