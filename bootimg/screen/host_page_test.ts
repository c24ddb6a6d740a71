import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { GUEST_STATES } from "../../hypervisor/supervisor/api/actions.ts";
import type { Health } from "../../hypervisor/supervisor/api/health_schemas.ts";
import { clip, type Size, textOf, USUAL_SIZE } from "./canvas.ts";
import { alarms, hostPage, type HostState } from "./host_page.ts";

const HEALTH: Health = {
  ...{ diskMiB: 100 * 1024, diskFreeMiB: 60 * 1024 },
  guests: { running: 2, stopped: 1 },
  guestsBack: true,
  shown: [
    { name: "web", state: "running" },
    { name: "db", state: "running" },
    { name: "old", state: "stopped" },
  ],
};

const READY: HostState = {
  version: "1.2.3",
  hostname: "lab-1",
  stage: null,
  addresses: ["192.0.2.7", "2001:db8::7"],
  fingerprint: Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, "0")).join(":")
    .toUpperCase(),
  setupCode: "ABCDE-FGHJK-MNPQR-STVWX",
  problems: [],
  uptimeSeconds: 3 * 86400 + 4 * 3600,
  load: [0.12, 0.3, 0.25],
  cpus: 2,
  memoryMiB: 4096,
  memoryFreeMiB: 2867,
  health: HEALTH,
  hint: "Enter: menu",
};

function page(state: Partial<HostState> = {}, size: Size = USUAL_SIZE): string[] {
  return clip(hostPage({ ...READY, ...state }, size), size).map((it) => textOf(it).trimEnd());
}

Deno.test("a usual screen has all that there is to know of a host", () => {
  assertEquals(page(), [
    " lab-1 - Denovisor 1.2.3" + " ".repeat(45) + "up 3 d 4 h",
    "",
    " Console       https://192.0.2.7/",
    " Addresses     192.0.2.7, 2001:db8::7",
    " Certificate   SHA-256, as your browser shows it:",
    "               00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F",
    "               10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F",
    "",
    " Set-up code   ABCDE-FGHJK-MNPQR-STVWX",
    "               Open the console and enter this code to choose its password.",
    "",
    " Load          0.12  0.30  0.25  on 2 CPUs",
    " Memory        [#######.................] 1.2 GiB of 4 GiB used",
    " Storage       [##########..............] 40 GiB of 100 GiB used",
    "",
    " Guests        2 running, 1 stopped",
    "               web                running    db                 running",
    "               old                stopped",
    ...["", "", "", "", "", ""],
    " Enter: menu",
  ]);
});

Deno.test("problems and alarms are there on the smallest screen, with many guests too", () => {
  const many: Health = {
    ...HEALTH,
    diskFreeMiB: 1024,
    guests: { failed: 2, running: 500 },
    shown: Array.from({ length: 64 }, (_, i) => ({
      name: `guest-${i}`,
      state: i < 2 ? "failed" as const : "running" as const,
    })),
  };
  const lines = page({ problems: ["KVM is missing. ".repeat(20)], health: many });
  assertEquals(lines.length, 25);
  const text = lines.join("\n");
  assertStringIncludes(text, " Problem       KVM is missing.");
  assertStringIncludes(text, " Alarm         Only 1 GiB of storage are free");
  assertStringIncludes(text, " Alarm         2 guests have failed: guest-0, guest-1");
  assertStringIncludes(text, "2 failed, 500 running");
  assertEquals(lines.at(-1), " Enter: menu");
  const large = page({ health: many, setupCode: null }, { columns: 160, rows: 50 }).join("\n");
  assertStringIncludes(large, "and 438 more");
  assertStringIncludes(large, "guest-63");
  assertStringIncludes(page({ problems: ["x"] }, { columns: 40, rows: 16 }).join("\n"), "Problem");
});

Deno.test("what figures say is wrong is an alarm, and only that", () => {
  assertEquals(alarms(READY), []);
  assertEquals(alarms({ ...READY, health: null }).length, 1);
  assertEquals(alarms({ ...READY, health: null, stage: "starting" }), []);
  assertEquals(alarms({ ...READY, memoryFreeMiB: 100 }).length, 1);
  const failed: Health = {
    ...HEALTH,
    guests: { failed: 1 },
    guestsBack: true,
    shown: [{ name: "db", state: "failed" }],
  };
  assertEquals(alarms({ ...READY, health: failed }), ["The guest db has failed"]);
});

const anyText = fc.string({ unit: "binary", maxLength: 120 });
const anyState = fc.record({
  version: anyText,
  hostname: anyText,
  stage: fc.option(anyText),
  addresses: fc.array(anyText, { maxLength: 8 }),
  fingerprint: fc.option(anyText),
  setupCode: fc.option(anyText),
  problems: fc.array(anyText, { maxLength: 12 }),
  uptimeSeconds: fc.double(),
  load: fc.array(fc.double({ noNaN: true }), { maxLength: 3 }),
  cpus: fc.nat(),
  memoryMiB: fc.nat(),
  memoryFreeMiB: fc.nat(),
  hint: fc.option(anyText),
  health: fc.option(fc.record({
    diskMiB: fc.nat(),
    diskFreeMiB: fc.nat(),
    guests: fc.dictionary(fc.constantFrom(...GUEST_STATES), fc.nat(600)),
    // As if nothing were checked before: a name is whatever a guest could make of it.
    shown: fc.array(fc.record({ name: anyText, state: fc.constantFrom(...GUEST_STATES) }), {
      maxLength: 64,
    }),
  })),
});

Deno.test("whatever a host and its guests are called, the page fits and has no controls", () => {
  const size = fc.record({
    columns: fc.integer({ min: 40, max: 240 }),
    rows: fc.integer({ min: 10, max: 100 }),
  });
  fc.assert(fc.property(anyState, size, (state, size) => {
    const lines = hostPage(state as HostState, size);
    assert(lines.length <= size.rows);
    for (const it of clip(lines, size)) {
      assert(textOf(it).length <= size.columns);
      assert(/^[\x20-\x7e\xa0-\xff]*$/.test(textOf(it)));
    }
  }));
});
