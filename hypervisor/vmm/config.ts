/**
 * Checks a guest's configuration, whoever wrote it: the one place where it is found to be right.
 *
 * @module
 */
import type { DiskConfig, GuestConfig, NetConfig } from "./control.ts";
import { MAX_CPUS } from "./lifecycle.ts";

export const MIN_MEMORY_MIB = 128;
const MAX_DISKS = 16;
const MAX_NETS = 8;
const MAX_SERIAL = 20;

/** What is wrong with a configuration; the VMM exits with EXIT_CODES.refused. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

function refuse(what: string, value: unknown, wanted: string): never {
  const shown = typeof value === "number" ? value : JSON.stringify(value);
  throw new ConfigError(`Cannot use ${what} ${shown}: ${wanted}`);
}

function record(value: unknown, what: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(what, value, "it must be an object");
  }
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) refuse(what, unknown, `known fields are ${keys.join(", ")}`);
  return value as Record<string, unknown>;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value === "" || value.includes("\0")) {
    refuse(what, value, "it must be text");
  }
  return value;
}

function optionalText(value: unknown, what: string): string | undefined {
  return value === undefined || value === null ? undefined : text(value, what);
}

function whole(value: unknown, what: string, range: { min: number; max: number }): number {
  const { min, max } = range;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    refuse(what, value, `it must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function list(value: unknown, what: string, max: number): unknown[] {
  if (!Array.isArray(value)) refuse(what, value, "it must be a list");
  if (value.length > max) refuse(what, value.length, `there may be at most ${max}`);
  return value;
}

function disk(value: unknown): DiskConfig {
  const d = record(value, "a disk", ["path", "readonly", "serial"]);
  const serial = optionalText(d.serial, "a disk's serial number");
  if (serial !== undefined && (serial.length > MAX_SERIAL || /[^\x20-\x7e]/.test(serial))) {
    refuse("the disk serial number", serial, `it must be at most ${MAX_SERIAL} ASCII characters`);
  }
  if (d.readonly !== undefined && typeof d.readonly !== "boolean") {
    refuse("a disk's readonly", d.readonly, "it must be true or false");
  }
  return { path: text(d.path, "a disk's path"), readonly: d.readonly, serial };
}

/** IFNAMSIZ, with its 0 */
const MAX_TAP_NAME = 15;

function net(value: unknown): NetConfig {
  const n = record(value, "a network card", ["tap", "mac"]);
  const tap = text(n.tap, "the tap");
  if (!/^[^/\s]+$/.test(tap) || tap.length > MAX_TAP_NAME) {
    refuse("the tap", tap, `an interface's name has at most ${MAX_TAP_NAME} characters`);
  }
  const mac = text(n.mac, "the MAC address").toLowerCase();
  if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac)) {
    refuse("the MAC address", n.mac, 'it must be unicast, such as "52:54:00:12:34:56"');
  }
  return { tap, mac };
}

/** Returns a configuration that cannot be wrong in itself, or throws a {@linkcode ConfigError}. */
export function parseConfig(value: unknown): GuestConfig {
  const c = record(value, "the configuration", [
    "name",
    "kernel",
    "initrd",
    "cmdline",
    "memoryMiB",
    "cpus",
    "disks",
    "nets",
  ]);
  return {
    name: text(c.name, "the name"),
    kernel: text(c.kernel, "the kernel"),
    initrd: optionalText(c.initrd, "the initrd"),
    cmdline: c.cmdline === "" ? "" : text(c.cmdline, "the command line"),
    memoryMiB: whole(c.memoryMiB, "the memory in MiB", { min: MIN_MEMORY_MIB, max: 2 ** 20 }),
    cpus: whole(c.cpus, "the number of CPUs", { min: 1, max: MAX_CPUS }),
    disks: list(c.disks, "the disks", MAX_DISKS).map(disk),
    nets: list(c.nets, "the network cards", MAX_NETS).map(net),
  };
}

/** Refuses a guest that this host has not the memory for. */
export function checkHostMemory(config: GuestConfig, meminfo: string): void {
  const total = Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? NaN) / 1024;
  if (config.memoryMiB > total) {
    throw new ConfigError(
      `Cannot give "${config.name}" ${config.memoryMiB} MiB of memory: the host has ${
        Math.floor(total)
      } MiB`,
    );
  }
}
