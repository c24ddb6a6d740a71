/** Disks of a configuration. @module */
import type { DiskConfig } from "../control.ts";
import { flag, oneOf, optionalText, record, refuse, text, whole } from "./fields.ts";
import { rateLimit } from "./rate_limit.ts";

const MAX_SERIAL = 20;
const MAX_QUEUES = 16;
const BLOCK_SIZES = [512, 4096];
const FIELDS = [
  ...["path", "readonly", "serial", "cache", "writeCache", "discard", "queues"],
  ...["blockSizeBytes", "rateLimit", "pinMemory"],
];

export function disk(value: unknown): DiskConfig {
  const d = record(value, "a disk", FIELDS);
  const serial = optionalText(d.serial, "a disk's serial number");
  if (serial !== undefined && (serial.length > MAX_SERIAL || /[^\x20-\x7e]/.test(serial))) {
    refuse("the disk serial number", serial, `it must be at most ${MAX_SERIAL} ASCII characters`);
  }
  const { queues, blockSizeBytes } = d;
  if (blockSizeBytes !== undefined && !BLOCK_SIZES.includes(blockSizeBytes as number)) {
    refuse("a disk's blockSizeBytes", blockSizeBytes, "it must be 512 or 4096");
  }
  const all: DiskConfig = {
    path: text(d.path, "a disk's path"),
    readonly: flag(d.readonly, "a disk's readonly"),
    serial,
    cache: oneOf(d.cache, "a disk's cache", ["cached", "direct"]),
    writeCache: flag(d.writeCache, "a disk's writeCache"),
    discard: flag(d.discard, "a disk's discard"),
    queues: queues === undefined
      ? undefined
      : whole(queues, "a disk's queues", { min: 1, max: MAX_QUEUES }),
    blockSizeBytes: blockSizeBytes as number | undefined,
    rateLimit: rateLimit(d.rateLimit, "a disk's rate limit"),
    pinMemory: flag(d.pinMemory, "a disk's pinMemory"),
  };
  return Object.fromEntries(Object.entries(all).filter(([, v]) => v !== undefined)) as typeof all;
}

/** Options of `--disk`, by how they are written, and what they set. */
const FLAGS: Readonly<Record<string, Partial<DiskConfig>>> = {
  "readonly": { readonly: true },
  "no-write-cache": { writeCache: false },
  "no-discard": { discard: false },
  "pin-memory": { pinMemory: true },
};
const TEXTS: Readonly<Record<string, string>> = { "serial": "serial", "cache": "cache" };
const NUMBERS: Readonly<Record<string, string>> = {
  "queues": "queues",
  "block-size": "blockSizeBytes",
};
const LIMITS: Readonly<Record<string, string>> = {
  "operations": "operationsPerSecond",
  "operations-burst": "operationsBurst",
  "bytes": "bytesPerSecond",
  "bytes-burst": "bytesBurst",
};

export const DISK_FLAG_HELP = `Options of --disk: readonly, serial=TEXT, cache=cached|direct,
  no-write-cache, no-discard, queues=1..16, block-size=512|4096, operations=N and bytes=N (both per
  second), operations-burst=N, bytes-burst=N, pin-memory`;

/** What `--disk FILE[,OPTION]...` says, as a configuration that is not checked yet. */
export function diskFromFlag(argument: string): Record<string, unknown> {
  const [path, ...options] = argument.split(",");
  const disk: Record<string, unknown> = { path };
  const limit: Record<string, number> = {};
  for (const option of options) {
    const [name, ...rest] = option.split("=");
    const value = rest.join("=");
    const has = (table: object) => Object.hasOwn(table, name);
    if (has(FLAGS) && rest.length === 0) Object.assign(disk, FLAGS[name]);
    else if (has(TEXTS)) disk[TEXTS[name]] = value;
    else if (has(NUMBERS)) disk[NUMBERS[name]] = Number(value || NaN);
    else if (has(LIMITS)) limit[LIMITS[name]] = Number(value || NaN);
    else refuse("--disk option", option, "see --help");
  }
  if (Object.keys(limit).length > 0) disk.rateLimit = limit;
  return disk;
}
