/**
 * Disks and network cards as a person types them: `image=debian.raw,size=20G,cache=direct`.
 *
 * @module
 */
import type { DiskCreate, DiskUpdate, NetCreate, NetUpdate } from "../api/schemas.ts";
import { bytes, mebibytes, UsageError, wholeNumber } from "./arguments.ts";

/** Takes the value of an option, undefined for one without, and returns where it goes and as what. */
type Option = (value: string | undefined, name: string) => [path: string[], value: unknown];

const flag = (path: string[], value: unknown): Option => (given, name) => {
  if (given !== undefined) throw new UsageError(`"${name}" takes no value`);
  return [path, value];
};
const valued =
  (path: string[], read: (value: string, name: string) => unknown): Option => (given, name) => {
    if (given === undefined) throw new UsageError(`"${name}" needs a value: ${name}=...`);
    return [path, read(given, name)];
  };
const text = (path: string[]) => valued(path, (value) => value);
const number = (path: string[]) => valued(path, wholeNumber);

function limits(prefix: string, field: string, operations: string): Record<string, Option> {
  return {
    [`${prefix}${operations}`]: number([field, "operationsPerSecond"]),
    [`${prefix}${operations}-burst`]: number([field, "operationsBurst"]),
    [`${prefix}bytes`]: valued([field, "bytesPerSecond"], bytes),
    [`${prefix}bytes-burst`]: valued([field, "bytesBurst"], bytes),
    [`${prefix}unlimited`]: flag([field], null),
  };
}

const DISK: Record<string, Option> = {
  "name": text(["name"]),
  "image": text(["image"]),
  "store": text(["store"]),
  "size": valued(["sizeMiB"], mebibytes),
  "readonly": flag(["readonly"], true),
  "writable": flag(["readonly"], false),
  "cache": text(["cache"]),
  "write-cache": flag(["writeCache"], true),
  "no-write-cache": flag(["writeCache"], false),
  ...limits("", "rateLimit", "operations"),
};

const NET: Record<string, Option> = {
  "mac": valued(["mac"], (value) => value.toLowerCase()),
  "bridge": valued(["bridge"], (value) => value === "-" ? null : value),
  "link": valued(["linkUp"], (value) => {
    if (value !== "up" && value !== "down") throw new UsageError('"link" is up or down');
    return value === "up";
  }),
  "mtu": number(["mtu"]),
  "queues": number(["queues"]),
  "port": flag(["inPort"], true),
  "no-port": flag(["inPort"], false),
  ...limits("receive-", "receiveLimit", "frames"),
  ...limits("send-", "sendLimit", "frames"),
};

export const SPEC_HELP = `A DISK or a CARD is a list of options, such as image=debian.raw,size=20G:
  DISK: SIZE or size=SIZE, image=IMAGE, name=NAME, store=NAME (one of the host's: see "host"),
      readonly, writable, cache=cached|direct, write-cache, no-write-cache, operations=N and bytes=SIZE (both per second),
      operations-burst=N, bytes-burst=SIZE, unlimited
  CARD: mac=MAC, bridge=NAME (- for the host's own), link=up|down, mtu=N, queues=N,
      port or no-port (whether it is in a hot-plug port from the start), receive-frames=N, receive-bytes=SIZE (both per second), receive-frames-burst=N,
      receive-bytes-burst=SIZE, receive-unlimited, and the same with send-
`;

function parse(spec: string, options: Record<string, Option>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const part of spec === "" ? [] : spec.split(",")) {
    const at = part.indexOf("=");
    const name = at < 0 ? part : part.slice(0, at);
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (option === undefined) throw new UsageError(`there is no option "${name}" of a device`);
    const [[field, within], value] = option(at < 0 ? undefined : part.slice(at + 1), name);
    if (within === undefined) result[field] = value;
    else result[field] = { ...(result[field] as object | undefined), [within]: value };
  }
  return result;
}

/** What a new disk is to be; a size alone is an empty one. The API checks the rest. */
export function diskSpec(spec: string): DiskCreate {
  const [first, ...rest] = spec.split(",");
  return parse(/^[0-9]/.test(first) ? [`size=${first}`, ...rest].join(",") : spec, DISK);
}

/** What is to change of a disk. */
export function diskChange(spec: string): DiskUpdate {
  const { image, store, ...change } = diskSpec(spec);
  if (image !== undefined) throw new UsageError("the image of a disk does not change");
  if (store !== undefined) throw new UsageError("the store that a disk is on does not change");
  return change as DiskUpdate;
}

/** What a new card is to be. */
export function netSpec(spec: string): NetCreate {
  return parse(spec, NET);
}

/** What is to change of a card. */
export function netChange(spec: string): NetUpdate {
  return parse(spec, NET) as NetUpdate;
}
