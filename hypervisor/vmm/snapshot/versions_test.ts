/**
 * What a release and the one before say to each other, tried with versions that there are not yet: those of
 * today are the newer ones here, or the older.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { Uart16550 } from "../../devices/uart16550.ts";
import { Arena, type Section } from "../../machine/arena.ts";
import { struct } from "../../sys/struct.ts";
import {
  decodeHello,
  decodeWelcome,
  encodeHello,
  type Hello,
  MigrationError,
} from "../migrate/frames.ts";
import { decodeGreeting, encodeGreeting, type Greeting } from "../upgrade/greeting.ts";
import {
  checkVersion,
  decodeSections,
  encodeSections,
  SnapshotError,
  type Upgrade,
  UPGRADES,
  versionOf,
  VERSIONS,
} from "./format.ts";
import { decodeGuest, encodeGuest } from "./saved_guest.ts";
import { savedGuest } from "./testing/saved_guest.ts";

const SERIAL = "arena/serial0";
const SCRATCH_PORT = 7;

/** Has upgrades, or versions, that only this test knows. */
function knowing<T>(table: Readonly<Record<string, T>>, more: Record<string, T>, test: () => void) {
  const open = table as Record<string, T>;
  Object.assign(open, more);
  try {
    test();
  } finally {
    for (const name of Object.keys(more)) delete open[name];
  }
  assertEquals(table, {});
}

/** A guest as another release would have written it: with other sections. */
function written(edit: (sections: Map<string, Section>) => void): Uint8Array<ArrayBuffer> {
  const sections = decodeSections(encodeGuest(savedGuest()));
  edit(sections);
  return encodeSections(sections);
}

/** The serial port as the release before had it: its scratch register came first, and there were no rings. */
const OldUart = struct("old_uart16550", { scr: "u8", lcr: "u8", mcr: "u8" });

function oldSerialPort(): Uint8Array<ArrayBuffer> {
  const bytes = OldUart.create({ scr: 0x5A, lcr: 3, mcr: 8 }).$bytes;
  return written((sections) => sections.set(SERIAL, { version: 0, bytes }));
}

function serialPort(arena: Arena): Uart16550 {
  return new Uart16550(arena, { name: "serial0", interrupt: () => {}, wakeHost: () => {} });
}

const toToday: Upgrade = (old) => {
  const { scr, lcr, mcr } = OldUart.at(old.buffer, old.byteOffset);
  const arena = new Arena();
  serialPort(arena).powerOn();
  const { bytes } = arena.sections().get("serial0")!;
  // In today's layout: lcr, mcr, scr.
  bytes.set([lcr, mcr, scr]);
  return bytes;
};

Deno.test("a device that the release before has saved goes on, its registers in today's layout", () => {
  const file = oldSerialPort();
  knowing(UPGRADES, { "arena/serial*": { 0: toToday } }, () => {
    const { machine } = decodeGuest(file);
    // Where the arena is made of what was saved, and where it stands already.
    const made = serialPort(new Arena(undefined, { saved: machine.arena }));
    const arena = new Arena();
    const standing = serialPort(arena);
    standing.powerOn();
    arena.load(machine.arena);
    for (const port of [made, standing]) {
      port.restore();
      assertEquals(port.read(SCRATCH_PORT, 1), 0x5A);
    }
  });
});

Deno.test("a device of which no step leads here is refused by its name and both versions", () => {
  const { machine: { arena: saved } } = decodeGuest(oldSerialPort());
  assertThrows(
    () => serialPort(new Arena(undefined, { saved })),
    RangeError,
    'Cannot restore "serial0": it was saved as version 0',
  );
});

Deno.test("a device that the release after has saved is refused by its name", () => {
  const newer = written((sections) => sections.get(SERIAL)!.version = 2);
  const arena = new Arena();
  serialPort(arena);
  assertThrows(
    () => arena.load(decodeGuest(newer).machine.arena),
    RangeError,
    'Cannot restore "serial0": it was saved as version 2',
  );
  // And so are registers of which nothing is known here: they would be lost.
  const more = written((sections) =>
    sections.set("arena/tpm0", { version: 1, bytes: new Uint8Array(8) })
  );
  assertThrows(
    () => arena.load(decodeGuest(more).machine.arena),
    RangeError,
    'Cannot restore "tpm0": nothing here has registers of that name',
  );
});

Deno.test("registers that a release does without are dropped by their step", () => {
  const more = written((sections) =>
    sections.set("arena/tpm0", { version: 1, bytes: new Uint8Array(8) })
  );
  knowing(UPGRADES, { "arena/tpm*": { 1: () => null } }, () => {
    assertEquals(decodeGuest(more), savedGuest());
  });
});

Deno.test("what KVM holds of a machine has versions too, each section its own", () => {
  const today = encodeGuest(savedGuest());
  knowing(VERSIONS, { "vcpu*/regs": 2 }, () => {
    assertEquals([versionOf("vcpu1/regs"), versionOf("vcpu1/sregs")], [2, 1]);
    assertThrows(
      () => decodeGuest(today),
      SnapshotError,
      'section "vcpu0/regs" is of version 1, and here of 2',
    );
    // What is today's is the one before now.
    knowing(UPGRADES, { "vcpu*/regs": { 1: (old) => old } }, () => {
      assertEquals(decodeGuest(today), savedGuest());
      assertEquals(decodeGuest(encodeGuest(savedGuest())), savedGuest());
    });
  });
  const newer = written((sections) => sections.get("vcpu1/regs")!.version = 2);
  assertThrows(
    () => decodeGuest(newer),
    SnapshotError,
    'section "vcpu1/regs" is of version 2, and here of 1',
  );
});

Deno.test("a format is read by its own release and by the one after", () => {
  const refused = (version: number, newest: number, why: string) =>
    assertThrows(() => checkVersion(version, newest), SnapshotError, why);
  checkVersion(1, 1);
  checkVersion(1, 2);
  checkVersion(2, 2);
  refused(2, 1, "it is of version 2, and known are 1 to 1");
  refused(1, 3, "it is of version 1, and known are 2 to 3");
  refused(0, 1, "it is of version 0");
  refused(1.5, 2, "it is of version 1.5");
});

const CPUID = { function: 0, index: 0, flags: 0, eax: 1, ebx: 2, ecx: 3, edx: 4 };

/** What a release says that does not know anything of the next. */
const HELLO: Hello = {
  ...{ protocol: 1, format: 1, handOver: "ab".repeat(16), plugged: [] },
  config: savedGuest().config,
  cpuids: [[CPUID], [CPUID]],
};

Deno.test("who is greeted by the release before understands it, and knows whose language it is", () => {
  const greeting: Greeting = { ...HELLO, ram: "shared", held: [] };
  const reads = [
    (protocol: number, newest: number) => decodeHello(encodeHello({ ...HELLO, protocol }), newest),
    (protocol: number, newest: number) =>
      decodeGreeting(encodeGreeting({ ...greeting, protocol }), newest),
  ];
  for (const read of reads) {
    for (const [protocol, newest] of [[1, 1], [1, 2], [2, 2], [2, 3]]) {
      assertEquals(read(protocol, newest).protocol, protocol);
    }
    const refused = (protocol: number, newest: number, why: string) =>
      assertThrows(() => read(protocol, newest), MigrationError, why);
    refused(2, 1, "the other VMM speaks version 2, this one 1");
    refused(1, 3, "the other VMM speaks version 1, this one 2 and 3");
    refused(0, 1, "the other VMM speaks version 0, this one 1");
  }
});

Deno.test("what a later release adds to a greeting is passed over", () => {
  const later = { ...HELLO, ram: "shared", held: [], weather: "fine" };
  const { protocol, ram } = decodeGreeting(new TextEncoder().encode(JSON.stringify(later)));
  assertEquals([protocol, ram], [1, "shared"]);
});

Deno.test("a way to pack that only a later release knows is not taken, and one that both know is", () => {
  const offered = (compress: string[]) => decodeHello(encodeHello({ ...HELLO, compress })).compress;
  assertEquals(offered(["zstd", "lz5"]), ["zstd", "lz5"]);
  const answered = (answer: unknown) =>
    decodeWelcome(new TextEncoder().encode(JSON.stringify(answer))).compress;
  assertEquals(answered({ postCopy: false, compress: "zstd", weather: "fine" }), "zstd");
  assertEquals(answered({ postCopy: false, compress: "lz5" }), undefined);
  assertEquals(answered({ postCopy: false }), undefined);
});
