/**
 * The names by which the appliance knows its own partitions and volumes.
 *
 * @module
 */

/** The partition with the one file that is booted. */
export const BOOT_NAME = "denovisor-boot";
/** The partition with all that the host keeps. */
export const DATA_NAME = "denovisor-data";
/** The data partition while its file system is being made: it holds nothing of worth. */
export const UNFINISHED_NAME = "denovisor-unfinished";
/** The label of FAT volumes in which the appliance looks for guests to import. */
export const SEED_LABEL = "DENOVISOR";
