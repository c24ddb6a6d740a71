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

/** RAM's content, which is a file of its own. */
export interface SavedMemory {
  /** Bytes of the file: RAM's mapping. */
  length: number;
  /** See `memory_file.ts`; hexadecimal. A fork's memory is never read, and has none. */
  digest?: string;
}

export interface SavedGuest {
  config: GuestConfig;
  /** What was plugged in, beside what the configuration has. */
  plugged: PluggedDevice[];
  settings: DeviceSettings;
  machine: SavedMachine;
  memory: SavedMemory;
  /** Milliseconds since the epoch. */
  takenAt: number;
}

const DIGEST = /^[0-9a-f]{64}$/;
const ARENA = "arena/";

export function encodeGuest(guest: SavedGuest): Uint8Array<ArrayBuffer> {
  const { config, plugged, settings, machine, memory, takenAt } = guest;
  const out = new SectionWriter();
  out.json("guest", { config, plugged, settings, memory, takenAt });
  machine.vcpus.forEach((vcpu, id) => writeVcpu(out, id, vcpu));
  writeTime(out, machine.time);
  writeVm(out, machine.vm);
  for (const [name, section] of machine.arena) out.sections.set(ARENA + name, section);
  return encodeSections(out.sections);
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
  const { config, settings, memory, takenAt } = value;
  if (typeof takenAt !== "number" || !(takenAt >= 0)) return refuse("has no time");
  if (!isRecord(memory) || !isLength(memory.length)) {
    return refuse("does not say what memory there is");
  }
  const { length, digest } = memory;
  if (digest !== undefined && !isDigest(digest)) return refuse("has no digest of its memory");
  if (!isRecord(settings) || !Object.values(settings).every(isRecord)) {
    return refuse("has no settings of devices");
  }
  try {
    return {
      config: parseConfig(config),
      plugged: readPlugged(value.plugged),
      settings: settings as DeviceSettings,
      memory: digest === undefined ? { length } : { length, digest },
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

function isDigest(value: unknown): value is string {
  return typeof value === "string" && DIGEST.test(value);
}

function readPlugged(value: unknown): PluggedDevice[] {
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
