/**
 * A guest that stands still, as data: all that there is of it but its RAM's content and its disks.
 *
 * @module
 */
import type { Sections } from "../../machine/arena.ts";
import { MAX_HOTPLUG_PORTS } from "../../machine/address_map.ts";
import type { VcpuState } from "../../kvm/vcpu_state.ts";
import type { GuestTime } from "../../kvm/vcpu_time.ts";
import type { VmState } from "../../kvm/vm_state.ts";
import { ConfigError } from "../config/fields.ts";
import { parseConfig } from "../config/guest.ts";
import { plugged } from "../config/hotplug.ts";
import type { GuestConfig } from "../control.ts";
import type { PluggedDevice } from "../hotplug.ts";
import { readTime, readVcpu, readVm, writeTime, writeVcpu, writeVm } from "./cpu_sections.ts";
import { SectionReader, SectionWriter } from "./fields.ts";
import { digestBytes } from "./memory_file.ts";
import { decodeSections, encodeSections, SnapshotError } from "./format.ts";

/** What {@linkcode VirtioDevice.change} is to be given, by the device's name. */
export type DeviceSettings = Record<string, Record<string, unknown>>;

/** The machine at one instant. */
export interface SavedMachine {
  vcpus: VcpuState[];
  time: GuestTime;
  vm: VmState;
  /** The registers of all devices. */
  arena: Sections;
}

/** RAM's content, which is a file of its own, or has come before. */
export interface SavedMemory {
  /** Bytes of the file: RAM's mapping. */
  length: number;
  /** Of a file: the digests of its chunks, see `memory_file.ts`. */
  digests?: Uint8Array<ArrayBuffer>;
}

/** When in a guest's life it was saved. */
export interface RunPoint {
  /** Of the run from its start, or from its restore, to the VMM's end; 32 hexadecimal digits. */
  run: string;
  /** Counts the saves of a run, from 1. */
  sequence: number;
}

export interface SavedGuest {
  config: GuestConfig;
  /** What was plugged in, beside what the configuration has. */
  plugged: PluggedDevice[];
  settings: DeviceSettings;
  machine: SavedMachine;
  memory: SavedMemory;
  point: RunPoint;
  /** Milliseconds since the epoch. */
  takenAt: number;
}

const RUN = /^[0-9a-f]{32}$/;
const ARENA = "arena/";
const DIGESTS = "memory/digests";

export function encodeGuest(guest: SavedGuest): Uint8Array<ArrayBuffer> {
  const { config, plugged, settings, machine, memory: { length, digests }, point, takenAt } = guest;
  const out = new SectionWriter();
  out.json("guest", { config, plugged, settings, memory: { length }, point, takenAt });
  if (digests !== undefined) out.bytes(DIGESTS, digests);
  machine.vcpus.forEach((vcpu, id) => writeVcpu(out, id, vcpu));
  writeTime(out, machine.time);
  writeVm(out, machine.vm);
  for (const [name, section] of machine.arena) out.sections.set(ARENA + name, section);
  return encodeSections(out.sections);
}

/** The registers alone, of a machine that may run: for whoever has to know whether they can be read. */
export function encodeRegisters(arena: Sections): Uint8Array<ArrayBuffer> {
  return encodeSections(new Map([...arena].map(([name, it]) => [ARENA + name, it])));
}

/** As {@linkcode decodeGuest} has them. */
export function decodeRegisters(file: Uint8Array<ArrayBuffer>): Sections {
  return new SectionReader(decodeSections(file)).within(ARENA);
}

/** A guest that is right in itself, or a {@linkcode SnapshotError} that says what is wrong. */
export function decodeGuest(file: Uint8Array<ArrayBuffer>): SavedGuest {
  const sections = new SectionReader(decodeSections(file));
  const described = readDescription(sections);
  const { cpus } = described.config;
  return {
    ...described,
    machine: {
      vcpus: Array.from({ length: cpus }, (_, id) => readVcpu(sections, id)),
      time: readTime(sections, cpus),
      vm: readVm(sections),
      arena: sections.within(ARENA),
    },
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readDescription(sections: SectionReader): Omit<SavedGuest, "machine"> {
  const value = sections.json("guest");
  const refuse = (why: string) => sections.refuse("guest", why);
  if (!isRecord(value)) return refuse("is no object");
  const { config, settings, memory, point, takenAt } = value;
  if (typeof takenAt !== "number" || !(takenAt >= 0)) return refuse("has no time");
  if (!isRecord(memory) || !isLength(memory.length)) {
    return refuse("does not say what memory there is");
  }
  const { length } = memory;
  if (!isPoint(point)) return refuse("does not say when it was saved");
  if (!isRecord(settings) || !Object.values(settings).every(isRecord)) {
    return refuse("has no settings of devices");
  }
  try {
    return {
      config: parseConfig(config),
      plugged: readPlugged(value.plugged),
      settings: settings as DeviceSettings,
      memory: {
        length,
        digests: sections.has(DIGESTS) ? sections.sized(DIGESTS, digestBytes(length)) : undefined,
      },
      point: { run: point.run, sequence: point.sequence },
      takenAt,
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new SnapshotError(`Cannot read the state: ${error.message}`, { cause: error });
  }
}

function isLength(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) % 4096 === 0;
}

function isPoint(value: unknown): value is RunPoint {
  if (!isRecord(value)) return false;
  const { run, sequence } = value;
  return typeof run === "string" && RUN.test(run) && Number.isSafeInteger(sequence) &&
    (sequence as number) > 0;
}

/** Throws a {@linkcode ConfigError} where a list is none of what can be plugged in at once. */
export function readPlugged(value: unknown): PluggedDevice[] {
  if (!Array.isArray(value)) throw new ConfigError("Cannot use what is plugged in: it is no list");
  const [slots, names] = [new Set<number>(), new Set<string>()];
  return value.map((one) => {
    const { name, slot, device } = isRecord(one) ? one : {};
    const isSlot = Number.isInteger(slot) && (slot as number) >= 0 &&
      (slot as number) < MAX_HOTPLUG_PORTS;
    if (typeof name !== "string" || !/^(block|net)\d{1,4}$/.test(name) || !isSlot) {
      throw new ConfigError("Cannot use what is plugged in: it has no name, or no slot");
    }
    if (slots.has(slot as number) || names.has(name)) {
      throw new ConfigError(`Cannot use what is plugged in: "${name}" or its slot is there twice`);
    }
    slots.add(slot as number);
    names.add(name);
    return { name, slot: slot as number, device: plugged(device) };
  });
}
