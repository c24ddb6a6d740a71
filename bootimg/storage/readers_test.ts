import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseMember, readArray, tellMembers } from "./array.ts";
import { parseScrub } from "./kept_scrub.ts";
import { parseXfsSectors } from "./pool.ts";
import { describeProbe, isEmptyProbe, parseProbe } from "./probe.ts";
import { isDue, isNight, nextScrub } from "./scrub.ts";
import { parseSmart } from "./smart.ts";

const AT = "2026-05-06T12:00:00Z";
const DAY_MS = 24 * 60 * 60 * 1000;

/** Texts of lines that look like what programs print, and anything else. */
const lines = fc.array(
  fc.oneof(
    fc.tuple(fc.constantFrom("TYPE", "LABEL", "MD_UUID", "MD_DEVICES", "x"), fc.string())
      .map(([name, value]) => `${name}=${value}`),
    fc.string(),
  ),
).map((it) => it.join("\n"));

Deno.test("what blkid prints is read, and told in words", () => {
  const home = parseProbe("DEVNAME=/dev/sda1\nLABEL=my\\ home\nTYPE=ext4\nUSAGE=filesystem\n");
  assertEquals(describeProbe(home), "ext4 file system “my home”");
  const luks = parseProbe("TYPE=crypto_LUKS\nUSAGE=crypto\n");
  assertEquals(describeProbe(luks), "encrypted by LUKS");
  const table = parseProbe("DEVNAME=/dev/sda\nPTUUID=1\nPTTYPE=gpt\n");
  assertEquals(describeProbe(table), "a partition table of the kind gpt");
  const none = parseProbe("DEVNAME=/dev/sda1\nPART_ENTRY_SCHEME=gpt\n");
  assertEquals([describeProbe(none), isEmptyProbe(none)], [null, true]);
});

Deno.test("a label that wants to be more than a label is a short line", () => {
  fc.assert(fc.property(lines, (text) => {
    const told = describeProbe(parseProbe(text));
    assert(told === null || told.length < 200 && !/\p{Cc}/u.test(told));
    parseMember(text);
  }));
});

Deno.test("a member tells its mirror and how many it is of", () => {
  const uuid = "fcda8833:4b30347f:0a13bf73:b1cb30f0";
  const text = `MD_LEVEL=raid1\nMD_DEVICES=2\nMD_NAME=any:denovisor\nMD_UUID=${uuid}\n`;
  assertEquals(parseMember(text), { uuid, level: "raid1", wanted: 2 });
  assertEquals(parseMember(""), null);
  assertEquals(parseMember(text.replace(uuid, "--other")), null);
});

Deno.test("the mirror's state is read as md shows it", () => {
  const files: Record<string, string> = {
    "raid_disks": "2",
    "sync_action": "recover",
    "sync_completed": "1024 / 4096",
    "sync_speed": "512",
    "component_size": "2048",
    "mismatch_cnt": "0",
    "dev-sda2/state": "in_sync",
    "dev-sda2/slot": "0",
    "dev-sdb2/state": "spare",
    "dev-sdb2/slot": "1",
  };
  const read = (name: string) => files[name] ?? null;
  const array = readArray({ read, names: () => ["dev-sda2", "dev-sdb2", "degraded"] })!;
  assertEquals(array.members.map(({ device, state }) => `${device} ${state}`), [
    "sda2 in-sync",
    "sdb2 rebuilding",
  ]);
  assertEquals(array.sync, {
    ...{ kind: "rebuild", doneBytes: 512 * 1024, totalBytes: 2 * 2 ** 20 },
    ...{ bytesPerSecond: 512 * 1024, secondsLeft: 3 },
  });
  files["dev-sdb2/state"] = "faulty";
  const failed = readArray({ read, names: () => ["dev-sda2", "dev-sdb2"] })!;
  const named = (device: string) => device.slice(0, 3);
  assertEquals(tellMembers(failed, named).map(({ state }) => state), ["in-sync", "failed"]);
  const alone = readArray({ read, names: () => ["dev-sda2"] })!;
  assertEquals(tellMembers(alone, named), [
    { disk: "sda", state: "in-sync" },
    { disk: null, state: "missing" },
  ]);
  assertEquals(readArray({ read: () => null, names: () => [] }), null);
});

Deno.test("any texts of md's are a state or none", () => {
  const names = ["raid_disks", "sync_action", "sync_completed", "sync_speed", "dev-a/state"];
  const texts = fc.oneof(fc.string(), fc.constantFrom("1", "2", "check", "none", "1 / 0", "9 / 3"));
  fc.assert(fc.property(fc.dictionary(fc.constantFrom(...names), texts), (files) => {
    const array = readArray({ read: (name) => files[name] ?? null, names: () => ["dev-a"] });
    const left = array?.sync?.secondsLeft ?? 0;
    assert(Number.isSafeInteger(left) && left >= 0);
  }));
});

const ATA = {
  smart_status: { passed: true },
  temperature: { current: 34 },
  power_on_time: { hours: 12345 },
  ata_smart_attributes: {
    table: [
      { id: 5, name: "Reallocated_Sector_Ct", when_failed: "", raw: { value: 3 } },
      { id: 197, name: "Current_Pending_Sector", when_failed: "", raw: { value: 0 } },
    ],
  },
};

Deno.test("a healthy disk tells its figures and warns of nothing", () => {
  assertEquals(parseSmart(JSON.stringify(ATA), AT), {
    ...{ at: AT, passed: true, temperatureCelsius: 34, powerOnHours: 12345, wearPercent: null },
    ...{ reallocatedSectors: 3, pendingSectors: 0, mediaErrors: null, warnings: [] },
  });
});

Deno.test("a disk that fails warns, whatever it is", () => {
  const failing = structuredClone(ATA);
  failing.smart_status.passed = false;
  failing.ata_smart_attributes.table[1].raw.value = 8;
  assertEquals(parseSmart(JSON.stringify(failing), AT)?.warnings, [
    "it says itself that it is failing",
    "8 sectors cannot be read at the moment",
  ]);
  const nvme = {
    smart_status: { passed: false },
    nvme_smart_health_information_log: { critical_warning: 9, percentage_used: 104 },
  };
  assertEquals(parseSmart(JSON.stringify(nvme), AT)?.warnings, [
    "it says itself that it is failing",
    "its spare blocks are nearly used up",
    "it can only be read from now on",
    "it has been written to as much as its maker allows for",
  ]);
});

Deno.test("a disk that sleeps or is unknown tells nothing", () => {
  assertEquals(parseSmart('{"smartctl":{"exit_status":2}}', AT), null);
  assertEquals(parseSmart("Device is in STANDBY mode, exit(2)\n", AT), null);
});

Deno.test("whatever a disk tells is a summary within bounds, or none", () => {
  const odd = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.constant(null), fc.boolean());
  const some = fc.record({
    smart_status: fc.record({ passed: odd }),
    temperature: fc.record({ current: odd }),
    power_on_time: fc.oneof(odd, fc.record({ hours: odd })),
    ata_smart_attributes: fc.record({
      table: fc.oneof(odd, fc.array(fc.record({ id: fc.constantFrom(5, 197), raw: odd }))),
    }),
    nvme_smart_health_information_log: fc.oneof(odd, fc.dictionary(fc.string(), odd)),
  }, { requiredKeys: [] });
  fc.assert(fc.property(fc.oneof(some, fc.jsonValue()), (value) => {
    const told = parseSmart(JSON.stringify(value), AT);
    if (told === null) return;
    assert((told.powerOnHours ?? 0) >= 0 && told.warnings.length <= 10);
  }));
  fc.assert(fc.property(fc.string(), (text) => void parseSmart(text, AT)));
});

Deno.test("the next comparison is a month later or now, in a night of the host's", () => {
  const zones = fc.constantFrom("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns");
  const times = fc.integer({ min: Date.parse("2020-01-01"), max: Date.parse("2040-01-01") });
  fc.assert(fc.property(times, times, zones, (last, now, zone) => {
    const next = nextScrub(last, now, zone);
    assert(next >= now && next >= Math.min(last + 28 * DAY_MS, next));
    assert(isNight(next, zone), `${new Date(next).toISOString()} in ${zone}`);
    assert(next - Math.max(now, last + 28 * DAY_MS) <= 25 * 60 * 60 * 1000);
    if (now >= last + 28 * DAY_MS) assertEquals(isDue(last, now, zone), isNight(now, zone));
  }));
});

Deno.test("what is kept of comparisons is read back, and all else is nothing", () => {
  const kept = { since: AT, last: { at: AT, mismatchedSectors: 7 } };
  assertEquals(parseScrub(JSON.stringify({ version: 1, ...kept })), kept);
  assertEquals(parseScrub(JSON.stringify({ version: 2, ...kept })), null);
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
    assertEquals(parseScrub(text), null);
  }));
});

Deno.test("an XFS tells its size, and anything else is refused", () => {
  const sector = new Uint8Array(512);
  sector.set(new TextEncoder().encode("XFSB"));
  const view = new DataView(sector.buffer);
  view.setUint32(4, 4096);
  view.setBigUint64(8, 1000n);
  assertEquals(parseXfsSectors(sector), 8000);
  view.setBigUint64(8, 2n ** 63n);
  assertThrows(() => parseXfsSectors(sector), RangeError, "are on no disk");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    assertThrows(() => parseXfsSectors(bytes), Error, "Cannot read the file system's size");
  }));
});
