/**
 * A disk with the loader's partitions and slots, and what the boot loader makes of it, for tests.
 *
 * @module
 */
import { writeAt, writeTable } from "../disk/disk_table.ts";
import { PARTITION_TYPES, type PartitionTable, SECTOR_BYTES } from "../disk/gpt.ts";
import { BOOT_NAME, DATA_NAME } from "../disk/names.ts";
import { FIRST_STATE, statePartition, type SystemName } from "../slots/boot_state.ts";
import { loaderPartitions, STATE_SECTOR, withSlots } from "../slots/places.ts";
import { readSystems, type SlotDisk, takeState } from "../slots/slots.ts";

export const SYSTEM_DISK_SECTORS = 4 * 1024 * 1024;

/** Makes the file at `path` a disk of a host that was never updated. */
export async function makeSystemDisk(path: string): Promise<SlotDisk & { table: PartitionTable }> {
  const sectors = SYSTEM_DISK_SECTORS;
  const table = withSlots({
    diskId: crypto.randomUUID(),
    partitions: [
      {
        number: 1,
        type: PARTITION_TYPES.efiSystem,
        id: crypto.randomUUID(),
        name: BOOT_NAME,
        firstSector: 2048,
        lastSector: 4095,
      },
      {
        number: 2,
        type: PARTITION_TYPES.linuxData,
        id: crypto.randomUUID(),
        name: DATA_NAME,
        firstSector: 3 * 1024 * 1024,
        lastSector: 3 * 1024 * 1024 + 2047,
      },
      ...loaderPartitions(() => crypto.randomUUID()),
    ],
  }, sectors);
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, sectors * SECTOR_BYTES);
  await writeTable(path, table, sectors);
  using file = await Deno.open(path, { write: true });
  await writeAt(file, STATE_SECTOR * SECTOR_BYTES, statePartition(FIRST_STATE));
  return { path, sectors, table };
}

/** Starts from a disk as the loader does, and notes what the loader notes; returns what was started. */
export async function startFrom(disk: SlotDisk): Promise<SystemName> {
  const { state, slots } = await readSystems(disk);
  if (state.try !== null) {
    await takeState(disk, { ...state, try: null, tried: state.try });
    if (slots[state.try] !== null) return state.try;
  }
  if (state.good !== "image" && slots[state.good] === null) return "image";
  return state.good;
}
