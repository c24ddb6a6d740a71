/**
 * The systems on the disk: which there are, which one starts, and putting a newer one into a slot. This
 * is for process 1; the loader's side is `../loader/grub.cfg`.
 *
 * @module
 */
import { sha256Of } from "../../hypervisor/sys/digest.ts";
import { readAt, readTable, writeAt } from "../disk/disk_table.ts";
import { type PartitionTable, SECTOR_BYTES } from "../disk/gpt.ts";
import { STATE_NAME } from "../disk/names.ts";
import {
  type BootState,
  encodeState,
  parseState,
  type SlotName,
  STATE_AT,
  STATE_BYTES,
  type SystemName,
} from "./boot_state.ts";
import { slotPartition } from "./places.ts";
import type { SystemFacts } from "../update/statement.ts";
import { FACTS_BYTES, parseFacts, slotArchive } from "./slot_archive.ts";
import { biosConfig } from "./unified_kernel.ts";

/** A whole disk, or a file that stands for one. */
export interface SlotDisk {
  path: string;
  sectors: number;
}

/** What there is on a disk. */
export interface Systems {
  state: BootState;
  /** What is in each slot; null for one that is empty, half-written or not there. */
  slots: Record<SlotName, SystemFacts | null>;
}

/** A newer system for a slot. */
export interface NewSystem {
  /** Path of the unified kernel image. */
  efi: string;
  /** What its verified signature says of it. */
  facts: SystemFacts;
  /** The system that is running, whose slot is not written to. */
  running: SystemName | null;
  /** Gives it up, as long as the slot counts as empty. */
  signal?: AbortSignal;
  onProgress?: (bytes: number) => void;
}

const CHUNK_BYTES = 1024 * 1024;

/** Reads which systems a disk has. Throws if its loader is of before there were slots. */
export async function readSystems(disk: SlotDisk): Promise<Systems> {
  const table = await tableOf(disk);
  const [a, b] = await Promise.all([readFacts(disk, table, "a"), readFacts(disk, table, "b")]);
  return { state: await readState(disk, table), slots: { a, b } };
}

/** The slot to write a newer system to: the one that neither runs nor is known to be good. */
export function freeSlot(state: BootState, running: SystemName | null): SlotName | null {
  return (["a", "b"] as const).find((it) => it !== state.good && it !== running) ?? null;
}

/**
 * Writes a system to a slot, over the one that is there. A cut at any moment leaves the slot empty or
 * whole. It is not started before {@linkcode tryNext} says so.
 */
export async function writeSlot(
  disk: SlotDisk,
  slot: SlotName,
  system: NewSystem,
): Promise<void> {
  const table = await tableOf(disk);
  const state = await readState(disk, table);
  const { facts } = system;
  const bad = (why: string) =>
    new Error(`Cannot write version ${facts.version} to slot ${slot}: ${why}`);
  if (slot === system.running) throw bad("the system in it is running");
  if (slot === state.good) throw bad("the system in it is the one that is known to start");
  const part = slotPartition(table, slot);
  if (!part) {
    throw bad("this disk has no room for it; only a newer image can be written over the disk");
  }
  const { before, behind } = slotArchive(facts, await biosConfig(system.efi));
  const room = (part.lastSector - part.firstSector + 1) * SECTOR_BYTES;
  const total = before.length + facts.bytes + behind.length;
  if (total > room) throw bad(`it takes ${total} bytes, and there is room for ${room}`);

  // The slot has nothing to try while it is written, and what was tried in it is gone.
  if (state.try === slot || state.tried === slot) {
    const without = (it: SlotName | null) => it === slot ? null : it;
    const { try: next, tried } = state;
    await writeState(disk, table, { ...state, try: without(next), tried: without(tried) });
  }
  const start = part.firstSector * SECTOR_BYTES;
  using out = await Deno.open(disk.path, { read: true, write: true });
  await writeAt(out, start, new Uint8Array(SECTOR_BYTES));
  await out.sync();
  await writeAt(out, start + SECTOR_BYTES, before.subarray(SECTOR_BYTES));
  const copied = await copy(system, out, start + before.length);
  await writeAt(out, start + before.length + copied, behind);
  await out.sync();
  // What lies on the disk must be what was signed, whatever became of the file meanwhile.
  const digest = await sha256Of(out, { position: start + before.length, length: facts.bytes });
  if (copied !== facts.bytes || digest !== facts.sha256) {
    throw bad(`what was written is not what was signed; "${system.efi}" changed, or the disk lies`);
  }
  // Only now is there anything in it.
  await writeAt(out, start, before.subarray(0, SECTOR_BYTES));
  await out.sync();
}

async function copy(system: NewSystem, out: Deno.FsFile, at: number): Promise<number> {
  const { efi, facts: { bytes: limit }, signal, onProgress } = system;
  using file = await Deno.open(efi);
  let done = 0;
  while (done < limit) {
    signal?.throwIfAborted();
    const bytes = await readAt(file, done, Math.min(CHUNK_BYTES, limit - done));
    if (bytes.length === 0) break;
    await writeAt(out, at + done, bytes);
    done += bytes.length;
    onProgress?.(done);
  }
  return done;
}

/** Has the next start try the system in a slot, once. */
export async function tryNext(disk: SlotDisk, slot: SlotName): Promise<void> {
  const table = await tableOf(disk);
  const bad = (why: string) =>
    new Error(`Cannot have slot ${slot} tried at the next start: ${why}`);
  if (await readFacts(disk, table, slot) === null) throw bad("there is no system in it");
  const state = await readState(disk, table);
  if (state.good === slot) throw bad("its system is known to start, and will anyway");
  await writeState(disk, table, { ...state, try: slot, tried: null });
}

/** Has a system start from now on; what was tried before is not tried again. */
export async function markGood(disk: SlotDisk, system: SystemName): Promise<void> {
  const table = await tableOf(disk);
  if (system !== "image" && await readFacts(disk, table, system) === null) {
    throw new Error(`Cannot mark slot ${system} as good: there is no system in it`);
  }
  const state = await readState(disk, table);
  const next = state.try === system ? null : state.try;
  await writeState(disk, table, { good: system, try: next, tried: null });
}

/** Has the next start be with the good system, whatever was to be tried. */
export async function tryNothing(disk: SlotDisk): Promise<void> {
  const table = await tableOf(disk);
  const state = await readState(disk, table);
  if (state.try !== null) await writeState(disk, table, { ...state, try: null });
}

/** Gives a disk the state that another one has; its systems are the same. */
export async function takeState(disk: SlotDisk, state: BootState): Promise<void> {
  await writeState(disk, await tableOf(disk), state);
}

async function tableOf(disk: SlotDisk): Promise<PartitionTable> {
  const table = await readTable(disk.path, disk.sectors);
  if (!table?.partitions.some((it) => it.name === STATE_NAME)) {
    throw new Error(
      `Cannot use the systems on "${disk.path}": it has no partition "${STATE_NAME}"; write a newer image over the disk`,
    );
  }
  return table;
}

async function readFacts(
  disk: SlotDisk,
  table: PartitionTable,
  slot: SlotName,
): Promise<SystemFacts | null> {
  const part = slotPartition(table, slot);
  if (!part) return null;
  using file = await Deno.open(disk.path);
  return parseFacts(await readAt(file, part.firstSector * SECTOR_BYTES, FACTS_BYTES));
}

async function readState(disk: SlotDisk, table: PartitionTable): Promise<BootState> {
  using file = await Deno.open(disk.path);
  return parseState(await readAt(file, stateAt(table), STATE_BYTES));
}

async function writeState(disk: SlotDisk, table: PartitionTable, state: BootState): Promise<void> {
  using file = await Deno.open(disk.path, { read: true, write: true });
  await writeAt(file, stateAt(table), encodeState(state));
  await file.sync();
}

function stateAt(table: PartitionTable): number {
  return table.partitions.find((it) => it.name === STATE_NAME)!.firstSector * SECTOR_BYTES +
    STATE_AT;
}
