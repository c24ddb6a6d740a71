/**
 * Memory on the command line; what the flags say is checked where every configuration is.
 *
 * @module
 */
import { MAX_CPUS } from "../lifecycle.ts";
import { ConfigError } from "./fields.ts";

function refuse(flag: string, text: string, wanted: string): never {
  throw new ConfigError(`Cannot use --${flag} "${text}": ${wanted}`);
}

/** "512", "512M" or "2G" in MiB. */
function size(text: string, flag: string): number {
  const [, digits, unit] = /^(\d{1,9})([MG]?)$/.exec(text) ?? [];
  if (digits === undefined) refuse(flag, text, "it must be such as 512M or 2G");
  return Number(digits) * (unit === "G" ? 1024 : 1);
}

/** "512M,huge-pages=transparent,hotplug=2G" as fields of a configuration. */
export function memoryFlag(
  text: string,
): { memoryMiB: number; memory?: Record<string, unknown> } {
  const [first, ...options] = text.split(",");
  const memoryMiB = size(first, "memory");
  const memory: Record<string, unknown> = {};
  for (const option of options) {
    const [key, value = ""] = option.split("=");
    if (option === "mergeable") memory.mergeable = true;
    else if (key === "huge-pages") memory.hugePages = value;
    else if (key === "hotplug") memory.hotplugMiB = size(value, "memory");
    else if (key === "requested") memory.requestedMiB = size(value, "memory");
    else {
      const known = "huge-pages=transparent|2M|1G|none, mergeable, hotplug=SIZE or requested=SIZE";
      throw new ConfigError(`Cannot use --memory option "${option}": ${known}`);
    }
  }
  return options.length === 0 ? { memoryMiB } : { memoryMiB, memory };
}

/** "256M,no-reporting" as a balloon's configuration. */
export function balloonFlag(text: string): Record<string, unknown> {
  const [first, ...options] = text.split(",");
  const balloon: Record<string, unknown> = { targetMiB: size(first, "balloon") };
  for (const option of options) {
    if (option === "no-deflate-on-oom") balloon.deflateOnOom = false;
    else if (option === "no-reporting") balloon.freePageReporting = false;
    else {
      const known = "no-deflate-on-oom or no-reporting";
      throw new ConfigError(`Cannot use --balloon option "${option}": ${known}`);
    }
  }
  return balloon;
}

/** "0,2+3" and the like: on which of the host's CPUs a vCPU runs. */
export function pinFlags(texts: readonly string[], cpus: number): number[][] | undefined {
  if (texts.length === 0) return undefined;
  const lists: number[][] = Array.from({ length: Math.min(cpus, MAX_CPUS) || 0 }, () => []);
  for (const text of texts) {
    const [, vcpu, hosts] = /^(\d{1,4}),(\d{1,4}(?:\+\d{1,4})*)$/.exec(text) ?? [];
    if (vcpu === undefined) refuse("pin", text, "it must be such as 0,2+3: a vCPU, and host CPUs");
    if (lists[Number(vcpu)] === undefined) refuse("pin", text, `the guest has no vCPU ${vcpu}`);
    lists[Number(vcpu)].push(...hosts.split("+").map(Number));
  }
  return lists;
}

/** "256M,cpus=0+1,host=0,distances=10+20" as a NUMA node of a configuration. */
export function numaFlag(text: string): Record<string, unknown> {
  const [first, ...options] = text.split(",");
  const node: Record<string, unknown> = { memoryMiB: size(first, "numa"), cpus: [] };
  const FIELDS: Record<string, string> = {
    cpus: "cpus",
    host: "hostNodes",
    distances: "distances",
  };
  for (const option of options) {
    const [, key, numbers] = /^([a-z]+)=(\d{1,4}(?:\+\d{1,4})*)$/.exec(option) ?? [];
    if (key === undefined || !Object.hasOwn(FIELDS, key)) {
      const known = "cpus=N[+N], host=N[+N] or distances=N[+N]";
      throw new ConfigError(`Cannot use --numa option "${option}": ${known}`);
    }
    node[FIELDS[key]] = numbers.split("+").map(Number);
  }
  return node;
}
