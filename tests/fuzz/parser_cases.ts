/**
 * Random files and texts for what reads them: kernels, configurations, control requests.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { testMemory } from "../../hypervisor/devices/virtio/testing/driver.ts";
import { loadLinux } from "../../hypervisor/machine/boot/load.ts";
import { bzImage } from "../../hypervisor/machine/testing/bzimage.ts";
import { ELF_ADDRESS, elfKernel } from "../../hypervisor/machine/testing/elf.ts";
import { ConfigError } from "../../hypervisor/vmm/config/fields.ts";
import { parseConfig } from "../../hypervisor/vmm/config/guest.ts";
import { MAX_LINE_BYTES } from "../../hypervisor/vmm/control.ts";
import { parseRequest } from "../../hypervisor/vmm/control_requests.ts";
import { mostly, u32, u8 } from "./arbitraries.ts";

const MiB = 2 ** 20;
const RAM = 32 * MiB;

/** A file that is right but for a few bytes or words, or for its end. */
interface FileCase {
  bytes: Uint8Array<ArrayBuffer>;
  initrdBytes: number;
  cmdlineBytes: number;
}

interface Edit {
  at: number;
  word: number;
  width: 1 | 2 | 4 | 8;
}

/** Changes a kernel in at most a few places, nearly all of them in its header. */
function damaged(kernel: fc.Arbitrary<Uint8Array<ArrayBuffer>>, headerBytes: number) {
  const edit: fc.Arbitrary<Edit> = fc.record({
    at: mostly(fc.nat(headerBytes), fc.nat(8192)),
    word: mostly(u32, u8),
    width: fc.constantFrom(1, 2, 4, 8),
  });
  return fc.record({
    kernel,
    edits: mostly(fc.array(edit, { maxLength: 3 }), fc.array(edit, { maxLength: 20 })),
    end: mostly(fc.constant(Infinity), fc.nat(8192), 8),
    initrdBytes: mostly(fc.nat(100_000), fc.nat(40 * MiB)),
    cmdlineBytes: mostly(fc.nat(200), fc.nat(4096)),
  }).map(({ kernel, edits, end, ...rest }): FileCase => {
    const bytes = kernel.slice(0, end);
    const view = new DataView(bytes.buffer);
    for (const { at, word, width } of edits) {
      if (at + width > bytes.length) continue;
      if (width === 1) view.setUint8(at, word);
      else if (width === 2) view.setUint16(at, word, true);
      else if (width === 4) view.setUint32(at, word, true);
      else view.setBigUint64(at, BigInt(word) * 0x1_0001_0001n, true);
    }
    return { bytes, ...rest };
  });
}

const code = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Uint8Array.from(bytes));

const goodBzImage = fc.record({
  code,
  version: fc.constantFrom(0x20C, 0x20F),
  setupSects: fc.constantFrom(0, 1, 4, 30),
  prefAddress: mostly(fc.constant(0x100_0000n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  initSize: mostly(fc.constantFrom(0x10_0000, 0x80_0000), u32),
  initrdAddressMax: mostly(fc.constant(0x7FFF_FFFF), u32),
  cmdlineSize: mostly(fc.constant(2047), u32),
}).map((options) => bzImage(options));

export const bzImageCase = damaged(goodBzImage, 0x270);

const goodElf = fc.record({
  segments: fc.array(
    fc.record({
      address: mostly(fc.nat(8).map((n) => ELF_ADDRESS + n * MiB), u32),
      bytes: code,
      memoryBytes: fc.option(mostly(fc.nat(MiB), u32), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  pvh: fc.option(mostly(fc.constant(ELF_ADDRESS), u32), { nil: undefined, freq: 8 }),
  entry: mostly(fc.constant(ELF_ADDRESS), u32),
}).map((options) => elfKernel(options));

export const elfCase = damaged(goodElf, 0x130);

/** Loads with everything where it belongs, or says what was wrong before anything ran. */
export function checkKernelCase(one: FileCase): void {
  using memory = testMemory(RAM);
  const folder = Deno.makeTempDirSync();
  try {
    const kernel = `${folder}/kernel`;
    const initrd = `${folder}/initrd`;
    Deno.writeFileSync(kernel, one.bytes);
    Deno.writeFileSync(initrd, new Uint8Array());
    Deno.truncateSync(initrd, one.initrdBytes);
    const cmdline = "x".repeat(one.cmdlineBytes);
    let boot;
    try {
      boot = loadLinux(memory, {
        ...{ kernel, initrd, cmdline, cpus: 2, physicalBits: 39 },
      });
    } catch (error) {
      const isRefusal = error instanceof SyntaxError || error instanceof RangeError ||
        error instanceof TypeError;
      assert(isRefusal && error.message.startsWith("Cannot "), String((error as Error).stack));
      return;
    }
    assert(boot.entry >= MiB && boot.entry < RAM, `it begins at ${boot.entry}`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const GOOD_CONFIG = {
  name: "demo",
  kernel: "/boot/vmlinuz",
  initrd: "/boot/initrd.img",
  cmdline: "console=ttyS0",
  memoryMiB: 512,
  cpus: 2,
  disks: [{ path: "/disk.img", readonly: true, serial: "D1" }],
  nets: [{ tap: "tap0", mac: "52:54:00:00:00:01" }],
};

/** Fields that a configuration may have besides; some of them are known and some are not. */
const FIELDS = [
  ...Object.keys(GOOD_CONFIG),
  ...["memory", "balloon", "numaNodes", "cpuAffinity", "hotplugPorts", "console", "ports", "vsock"],
  ...[
    "path",
    "serial",
    "rateLimit",
    "queues",
    "cache",
    "targetMiB",
    "hotplugMiB",
    "tap",
    "mac",
    "mtu",
  ],
  ...[
    "receiveLimit",
    "sendLimit",
    "socket",
    "cid",
    "columns",
    "hostNodes",
    "cpuModel",
    "__proto__",
  ],
];

const smallJson = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 2 ** 53, 0.5, "", "a\0b", "tap0", "/x"),
    fc.string(),
    fc.double(),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...FIELDS), tie("value"), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value;

export interface ConfigEdit {
  /** In which of the lists or at the top. */
  where: "top" | "disks" | "nets";
  field: string;
  value: unknown;
}

export const configCase: fc.Arbitrary<ConfigEdit[] | unknown> = mostly(
  fc.array(
    fc.record({
      where: mostly(
        fc.constant("top" as const),
        fc.constantFrom("disks" as const, "nets" as const),
        2,
      ),
      field: fc.constantFrom(...FIELDS),
      value: smallJson,
    }),
    { maxLength: 3 },
  ),
  smallJson,
);

/** It parses to what parses to itself, or is refused by name. */
export function checkConfigCase(one: ConfigEdit[] | unknown): void {
  let value: unknown = one;
  if (Array.isArray(one) && one.every((edit) => typeof edit?.where === "string")) {
    const config = structuredClone(GOOD_CONFIG) as Record<string, unknown>;
    for (const { where, field, value } of one as ConfigEdit[]) {
      const target = where === "top" ? config : (config[where] as Record<string, unknown>[])?.[0];
      if (typeof target === "object" && target !== null) target[field] = value;
    }
    value = config;
  }
  let config;
  try {
    config = parseConfig(value);
  } catch (error) {
    assert(error instanceof ConfigError, String((error as Error).stack));
    assert(error.message.startsWith("Cannot "), error.message);
    return;
  }
  assertEquals(parseConfig(config), config);
  const json = JSON.stringify(config);
  assertEquals(JSON.stringify(parseConfig(JSON.parse(json))), json);
}

const OPS = [
  "status",
  "power_button",
  "kill",
  "events",
  "serial",
  "devices",
  "change",
  "pause",
  "resume",
  "track_disks",
  "disk_changes",
  "return_disk_changes",
  "save",
  "send",
  "fork",
  "take_over",
  "run",
];

export const lineCase: fc.Arbitrary<string> = mostly(
  fc.record({
    op: mostly(fc.constantFrom(...OPS), smallJson),
    more: fc.dictionary(
      fc.constantFrom(
        ...["device", "change", "op", "id", "__proto__", "toString", "directory", "base", "socket"],
        ...["hold", "track", "allowedPauseMs", "bytesPerSecond", "handOver", "receive", "restore"],
        ...["config", "fork", "on", "ranges", "slowDown", "ask"],
      ),
      smallJson,
      {
        maxKeys: 3,
        noNullPrototype: true,
      },
    ),
    end: mostly(fc.constant(Infinity), fc.nat(100)),
  }).map(({ op, more, end }) => JSON.stringify({ op, ...more }).slice(0, end)),
  fc.oneof(fc.string(), smallJson.map((value) => JSON.stringify(value) ?? "")),
  4,
);

/** Any line is a request or none; none throws. */
export function checkLineCase(line: string): void {
  if (line.length > MAX_LINE_BYTES) return;
  const request = parseRequest(line);
  if (request === undefined) return;
  assert(typeof request.op === "string");
  if (request.op === "change") {
    assert(typeof request.device === "string");
    assert(typeof request.change === "object" && request.change !== null);
  }
  if (request.op === "save") {
    const { ask, hold, stay, track } = request;
    assert([ask, hold, stay, track].every((it) => it === undefined || typeof it === "boolean"));
  }
  if (request.op === "return_disk_changes") {
    for (const [offset, length] of request.ranges) assert(Number.isSafeInteger(offset + length));
  }
  if (request.op === "run") {
    const sources = [request.restore, request.receive, request.fork];
    assert(sources.filter((it) => it !== undefined).length <= 1, "one source at most");
    assert(sources.some((it) => typeof it === "string") || typeof request.config === "object");
  }
}
