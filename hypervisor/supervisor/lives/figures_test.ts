import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CpuSettings, DiskSettings, Figures, MemorySettings, NetSettings } from "../api/schemas.ts";
import type { GuestRecord } from "../store/guests.ts";
import { TestHost } from "../testing/test_host.ts";
import type { DeviceReports } from "./control_client.ts";
import { figuresOf } from "./figures.ts";
import { firstRun, Run } from "./run.ts";

const ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const RECORD: GuestRecord = {
  id: ID,
  name: "web",
  cpus: 1,
  memoryMiB: 512,
  cpu: CpuSettings.parse({}),
  memory: MemorySettings.parse({}),
  kernel: "k",
  initrd: null,
  cmdline: "",
  disks: [{
    ...DiskSettings.parse({}),
    id: "d",
    name: "d",
    file: "d",
    sizeMiB: 1,
    image: null,
    serial: "d",
    store: null,
  }],
  nets: [{ ...NetSettings.parse({}), id: "n", mac: "52:54:00:00:00:01" }],
  hotplugPorts: 2,
  agent: true,
  cloudInit: null,
  autostart: false,
  atShutdown: null,
  startOrder: null,
  createdAt: "",
  error: null,
};

Deno.test("reports become figures of the guest's own devices", () => {
  const reports = {
    block0: { reads: 5, readBytes: 4096, writes: 1, writtenBytes: 512, errors: 0, path: "/x" },
    net0: { received: { frames: 2, bytes: 120, dropped: 1 }, sent: { frames: 3, bytes: 200 } },
    block9: { reads: 7 },
    rng0: {},
    balloon0: {
      actualMiB: 64,
      statistics: { totalBytes: 400 * 2 ** 20, availableBytes: 100 * 2 ** 20 },
    },
    mem0: { pluggedMiB: 128 },
  };
  assertEquals(figuresOf({ id: ID, at: 1 }, reports, Run.begin("/r", firstRun(RECORD))), {
    id: ID,
    at: 1,
    disks: { d: { reads: 5, readBytes: 4096, writes: 1, writtenBytes: 512, errors: 0 } },
    nets: {
      n: { receivedFrames: 2, receivedBytes: 120, sentFrames: 3, sentBytes: 200, dropped: 1 },
    },
    memory: { balloonMiB: 64, addedMiB: 128, totalMiB: 400, availableMiB: 100 },
  });
});

Deno.test("whatever a VMM reports, figures are what the API says they are", () => {
  const names = fc.constantFrom("block0", "net0", "balloon0", "mem0", "__proto__", "x");
  const keys = fc.constantFrom("reads", "received", "statistics", "actualMiB", "pluggedMiB", "z");
  const value = fc.oneof(fc.jsonValue(), fc.double(), fc.dictionary(fc.string(), fc.jsonValue()));
  const reports = fc.dictionary(names, fc.dictionary(keys, value));
  const run = Run.begin("/r", firstRun(RECORD));
  fc.assert(fc.property(reports, (reports) => {
    Figures.parse(figuresOf({ id: ID, at: 1 }, reports as DeviceReports, run));
  }));
});

Deno.test("who listens hears what devices count, and who comes later sees it", async () => {
  await using host = await TestHost.start({ figuresMs: 30 });
  const { id, disks } = await host.guest({ disks: [{ sizeMiB: 1 }] });
  const { client } = host.local;
  await host.start(id);
  const recent = () => client.call("getFigures", { params: { id } });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(await recent(), [], "nobody listens, so nobody is asked");
  const seen: Figures[] = [];
  const end = new AbortController();
  for await (const { name, data } of client.events({ signal: end.signal })) {
    if (name !== "figures") continue;
    if (seen.push(data as Figures) === 3) break;
  }
  end.abort();
  const reads = seen.map((it) => it.disks[disks[0].id].reads);
  assert(reads[0] < reads[1] && reads[1] < reads[2], `${reads}`);
  assertEquals((await recent()).slice(0, 3), seen);
  await host.stop(id);
  while ((await recent()).length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
});
