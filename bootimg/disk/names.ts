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
/** The data partition while its file system is being made: it holds nothing of worth. */
export const UNFINISHED_NAME = "denovisor-unfinished";
/** The label of FAT volumes in which the appliance looks for guests to import. */
export const SEED_LABEL = "DENOVISOR";
