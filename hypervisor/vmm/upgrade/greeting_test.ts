import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "../config/fields.ts";
import { MigrationError } from "../migrate/frames.ts";
import {
  decodeGreeting,
  decodeStanding,
  descriptorsOf,
  encodeGreeting,
  encodeStanding,
  type Greeting,
  UPGRADE_VERSION,
} from "./greeting.ts";
import { heldFrom, namesOf } from "./held.ts";

const CPUID = { function: 0, index: 0, flags: 0, eax: 1, ebx: 2, ecx: 3, edx: 4 };
const GREETING: Greeting = {
  plugged: [],
  protocol: UPGRADE_VERSION,
  format: 1,
  handOver: "0123456789abcdef".repeat(2),
  config: {
    ...{ name: "web", kernel: "/k", cmdline: "", memoryMiB: 128, cpus: 1, disks: [], nets: [] },
    hotplugPorts: 0,
  },
  cpuids: [[CPUID]],
  ram: "shared",
  held: [{ name: "block0", count: 1 }, { name: "net0", count: 3, segmentsUdp: true }],
};

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** Nothing else is ever thrown. */
function isRefused(decode: () => unknown): boolean {
  try {
    decode();
    return false;
  } catch (error) {
    if (error instanceof MigrationError || error instanceof ConfigError) return true;
    throw error;
  }
}

Deno.test("a greeting is read as it was said, with what comes along", () => {
  const read = decodeGreeting(encodeGreeting(GREETING));
  assertEquals(read, { ...GREETING, config: read.config });
  assertEquals(read.config.name, "web");
  assertEquals(descriptorsOf(read), 5);
  assertEquals(descriptorsOf({ ...read, ram: "private" }), 4);
  const held = heldFrom(read.held, [10, 11, 12, 13]);
  assertEquals([...held], [
    ["block0", { fds: [10] }],
    ["net0", { fds: [11, 12, 13], segmentsUdp: true }],
  ]);
  assertEquals(namesOf(held), GREETING.held);
});

Deno.test("whatever a greeting says, it is taken or refused", () => {
  const wrong: [string, unknown][] = [
    ["protocol", UPGRADE_VERSION + 1],
    ["ram", "borrowed"],
    ["held", [{ name: "block0", count: 0 }]],
    ["held", [{ name: 1, count: 1 }]],
    ["held", Array(65).fill({ name: "a", count: 1 })],
    ["held", [null]],
  ];
  for (const [key, value] of wrong) {
    assertThrows(() => decodeGreeting(text({ ...GREETING, [key]: value })), MigrationError);
  }
  const value = fc.record({
    key: fc.constantFrom(...Object.keys(GREETING)),
    value: fc.oneof(fc.jsonValue(), fc.array(fc.record({ name: fc.string(), count: fc.nat() }))),
  }).map(({ key, value }) => ({ ...GREETING, [key]: value }));
  const any = fc.oneof(fc.jsonValue(), value);
  fc.assert(fc.property(any, (it) => void isRefused(() => decodeGreeting(text(it)))));
});

Deno.test("how a guest stood is read as it was said, or refused", () => {
  for (const standing of [{ startedAt: 5 }, { startedAt: 5, pausedFor: "so" }]) {
    assertEquals(decodeStanding(encodeStanding(standing)), { pausedFor: undefined, ...standing });
  }
  assertEquals(
    decodeStanding(encodeStanding({ startedAt: 5, pausedFor: "ä".repeat(5000) })).pausedFor!.length,
    500,
  );
  fc.assert(fc.property(fc.jsonValue(), (it) => void isRefused(() => decodeStanding(text(it)))));
});
