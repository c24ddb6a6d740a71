/**
 * What two VMMs tell each other while a guest goes from one to the other: frames, each a header and its
 * body. Between the answer to the greeting and the state, the mover's stream has the connection.
 *
 * | from     | frame     | body                                                                       |
 * | -------- | --------- | -------------------------------------------------------------------------- |
 * | sender   | `hello`   | what the receiver has to know to say whether it can: {@linkcode Hello}      |
 * | receiver | `welcome` | it can; where the sender asks how memory may come, {@linkcode Welcome}       |
 * | sender   |           | RAM, in rounds (`move/stream_format.ts`)                                   |
 * | sender   | `state`   | the guest as it stands still, as in a snapshot (`snapshot/saved_guest.ts`)  |
 * | receiver | `ready`   | none: it could let the guest run                                            |
 * | sender   | `go`      | none: the guest is the receiver's                                           |
 * | receiver | `runs`    | none                                                                        |
 * | either   | `failed`  | why it gives up                                                             |
 * | receiver | `want`    | which pages it cannot wait for                                              |
 * | sender   | `pages`   | pages, and where they belong                                                |
 * | sender   | `zeros`   | where pages of zeros belong                                                 |
 * | receiver | `arrived` | none: it needs no page any more                                             |
 *
 * The last four only where memory follows its guest, from `state` on: see `page_frames.ts`.
 *
 * From one VMM to another of the same host (`vmm/upgrade/`), descriptors come with `files`, then `registers`,
 * of devices that run, to see whether they can be read. Before the state comes what has no place in it: `serial`, what the serial port has sent, and `standing`, how the
 * guest stood in its VMM.
 *
 * Everything from the other side is checked: it may be anybody.
 *
 * @module
 */
import type { CpuidEntry } from "../../kvm/kvm.ts";
import { struct } from "../../sys/struct.ts";
import { parseConfig } from "../config/guest.ts";
import { type GuestConfig, SERIAL_REPLAY_BYTES } from "../control.ts";
import type { PluggedDevice } from "../hotplug.ts";
import { MAX_STATE_BYTES } from "../snapshot/format.ts";
import { readPlugged } from "../snapshot/saved_guest.ts";
import { oldestOf, PROTOCOL_VERSION, type Spoken, understood } from "../spoken_versions.ts";

/** "DVMG" */
const MAGIC = 0x474d_5644;

export const FrameHeader = struct("migration_frame", {
  magic: "u32",
  kind: "u32",
  length: "n64",
});

export const KINDS = [
  "hello",
  "welcome",
  "state",
  "ready",
  "go",
  "runs",
  "failed",
  "files",
  "registers",
  "serial",
  "standing",
  "want",
  "pages",
  "zeros",
  "arrived",
] as const;
export type FrameKind = typeof KINDS[number];

/** Of what is said of pages: see `page_frames.ts`. */
export const MAX_WANT_BYTES = 4096;
export const MAX_PAGES_BYTES: number = 8 + (128 << 10);
export const ZEROS_BYTES = 16;

/** The longest body of each kind, in bytes. */
const MAX_BYTES: Readonly<Record<FrameKind, number>> = {
  hello: 1 << 20,
  welcome: 4096,
  state: MAX_STATE_BYTES,
  ready: 0,
  go: 0,
  runs: 0,
  failed: 4096,
  files: 0,
  registers: MAX_STATE_BYTES,
  serial: SERIAL_REPLAY_BYTES,
  standing: 4096,
  want: MAX_WANT_BYTES,
  pages: MAX_PAGES_BYTES,
  zeros: ZEROS_BYTES,
  arrived: 0,
};

/** What is wrong with what the other side says. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}

export interface Frame {
  kind: FrameKind;
  body: Uint8Array<ArrayBuffer>;
}

export function encodeFrame(kind: FrameKind, body = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const header = FrameHeader.create({
    ...{ magic: MAGIC, kind: KINDS.indexOf(kind), length: body.length },
  });
  const bytes = new Uint8Array(FrameHeader.size + body.length);
  bytes.set(header.$bytes);
  bytes.set(body, FrameHeader.size);
  return bytes;
}

/** What a header announces; throws a {@linkcode MigrationError} that says what is wrong with it. */
export function decodeHeader(bytes: Uint8Array<ArrayBuffer>): { kind: FrameKind; length: number } {
  const { magic, kind: number, length } = FrameHeader.at(bytes.buffer, bytes.byteOffset);
  if (magic !== MAGIC) {
    throw new MigrationError(`Cannot understand the other VMM: bad magic 0x${magic.toString(16)}`);
  }
  const kind = KINDS[number];
  if (kind === undefined) {
    throw new MigrationError(`Cannot understand the other VMM: a frame of kind ${number}`);
  }
  if (length > MAX_BYTES[kind]) {
    throw new MigrationError(
      `Cannot understand the other VMM: "${kind}" has ${length} bytes, and ${
        MAX_BYTES[kind]
      } are the most`,
    );
  }
  return { kind, length };
}

/** What a receiver has to know before the first page. */
export interface Hello extends Spoken {
  /** Random; names this hand-over on both sides. 32 hexadecimal digits. */
  handOver: string;
  config: GuestConfig;
  /** What is plugged in at the moment: it may be another when the state comes. */
  plugged: PluggedDevice[];
  /** What each vCPU was shown. */
  cpuids: CpuidEntry[][];
  /** Its memory is to follow it, if the receiver can have it so. */
  postCopy?: boolean;
  /** In which of these ways its memory is to come packed, if the receiver knows one of them. */
  compress?: string[];
}

/** What a receiver answers to who asks how memory may come. */
export interface Welcome {
  /** Whether it may follow its guest. */
  postCopy: boolean;
  /** Why not. */
  why?: string;
  /** How it may come packed; not at all without. */
  compress?: "zstd";
}

const HAND_OVER = /^[0-9a-f]{32}$/;
const MAX_CPUID_ENTRIES = 256;
/** Of characters, which may be several bytes each. */
const MAX_WHY = 500;
const MAX_COMPRESS = 16;
const CPUID_FIELDS = ["function", "index", "flags", "eax", "ebx", "ecx", "edx"] as const;

/** What a sender asks that is to send a guest like this. */
export function asksOf(
  { postCopy, compress = "none" }: { postCopy?: boolean; compress?: string },
): Pick<Hello, "postCopy" | "compress"> {
  return { ...(postCopy && { postCopy }), ...(compress !== "none" && { compress: ["zstd"] }) };
}

export function encodeHello(hello: Hello): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(hello));
}

/** Throws a {@linkcode MigrationError} or a ConfigError that says what is wrong. */
export function decodeHello(body: Uint8Array, newest = PROTOCOL_VERSION): Hello {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new MigrationError("Cannot understand the other VMM: its greeting is no JSON", { cause });
  }
  const { protocol, format, handOver, config, plugged = [], cpuids } = value ?? {};
  const { postCopy, compress } = value ?? {};
  if (!understood(protocol, newest)) {
    const known = [...new Set([oldestOf(newest), newest])].join(" and ");
    throw new MigrationError(
      `Cannot receive a guest: the other VMM speaks version ${protocol}, this one ${known}`,
    );
  }
  const areRight = typeof format === "number" && typeof handOver === "string" &&
    HAND_OVER.test(handOver) && ["boolean", "undefined"].includes(typeof postCopy) &&
    (compress === undefined || areWays(compress));
  if (!areRight) {
    throw new MigrationError(
      "Cannot understand the other VMM: its greeting lacks what it must have",
    );
  }
  const parsed = parseConfig(config);
  if (!Array.isArray(cpuids) || cpuids.length !== parsed.cpus || !cpuids.every(isCpuid)) {
    throw new MigrationError("Cannot understand the other VMM: it does not say what its CPUs are");
  }
  const hello = {
    protocol,
    format,
    handOver,
    config: parsed,
    plugged: readPlugged(plugged),
    cpuids,
  };
  return { ...hello, ...(postCopy === true && { postCopy }), ...(compress && { compress }) };
}

/** Of which some may be known to a later release only. */
function areWays(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_COMPRESS &&
    value.every((it) => typeof it === "string");
}

/** Without a word: of a receiver that was not asked, or has never heard of what it was asked. */
export function encodeWelcome(welcome?: Welcome): Uint8Array<ArrayBuffer> {
  if (welcome === undefined) return new Uint8Array();
  const text = JSON.stringify({ ...welcome, why: welcome.why?.slice(0, MAX_WHY) });
  return new TextEncoder().encode(text);
}

/** Throws a {@linkcode MigrationError} that says what is wrong. */
export function decodeWelcome(body: Uint8Array): Welcome {
  if (body.length === 0) return { postCopy: false, why: "the other VMM is of an earlier release" };
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new MigrationError("Cannot understand the other VMM: its answer is no JSON", { cause });
  }
  const { postCopy, why = "it does not say why", compress } = value ?? {};
  if (typeof postCopy !== "boolean" || typeof why !== "string") {
    throw new MigrationError("Cannot understand the other VMM: its answer says nothing");
  }
  const follows = postCopy ? { postCopy } : { postCopy, why: why.slice(0, MAX_WHY) };
  // Another way was not offered, and a frame of this one would not be understood.
  return compress === "zstd" ? { ...follows, compress } : follows;
}

function isCpuid(value: unknown): value is CpuidEntry[] {
  return Array.isArray(value) && value.length <= MAX_CPUID_ENTRIES &&
    value.every((entry) =>
      typeof entry === "object" && entry !== null &&
      CPUID_FIELDS.every((field) => Number.isInteger(entry[field]))
    );
}

/** For `failed`: as much of the words as there is room for. */
export function encodeReason(message: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MAX_BYTES.failed);
  return bytes.slice(0, new TextEncoder().encodeInto(message, bytes).written);
}

export function decodeReason(body: Uint8Array): string {
  return new TextDecoder().decode(body);
}
