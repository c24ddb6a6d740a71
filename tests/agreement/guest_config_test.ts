/**
 * The limits of the API are those of the VMM: what the one lets through, the other runs.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addedStepMiB,
  CPU_MODELS,
  DiskCreate,
  GuestCreate,
  MOST_CPUS,
  MOST_DISKS,
  MOST_HOST_CPUS,
  MOST_NETS,
  MOST_PORTS,
  NetCreate,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { diskRecord } from "../../hypervisor/supervisor/lives/disk_changes.ts";
import { netRecord } from "../../hypervisor/supervisor/lives/net_changes.ts";
import { firstRun } from "../../hypervisor/supervisor/lives/run.ts";
import { configOf } from "../../hypervisor/supervisor/lives/source.ts";
import { diskConfig, netConfig, type Places } from "../../hypervisor/supervisor/lives/vm_config.ts";
import { tapName } from "../../hypervisor/supervisor/network.ts";
import type { GuestRecord } from "../../hypervisor/supervisor/store/guests.ts";
import { MAX_HOST_CPUS } from "../../hypervisor/sys/affinity.ts";
import { MAX_HOTPLUG_PORTS } from "../../hypervisor/machine/address_map.ts";
import { MODELS } from "../../hypervisor/machine/cpu/models.ts";
import { blockBytesFor } from "../../hypervisor/machine/hotplug.ts";
import { parseStart } from "../../hypervisor/vmm/config/guest.ts";
import { plugged } from "../../hypervisor/vmm/config/hotplug.ts";
import { MAX_CPUS } from "../../hypervisor/vmm/lifecycle.ts";

const ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const MIB = 2 ** 20;

const PLACES: Places = {
  kernel: "/images/kernel/k",
  initrd: null,
  kernelCache: "/kernels",
  agentSocket: `/run/denovisor/guests/${ID}/agent.sock`,
  disk: ({ file }) => `/data/guests/${ID}/${file}`,
  tap: ({ id }) => tapName(id),
};

/** What is kept of a guest that the API made of `body`. */
function recordOf(body: ReturnType<typeof GuestCreate.parse>): GuestRecord {
  return {
    ...body,
    id: ID,
    disks: body.disks.map((wish, i) =>
      diskRecord(wish, { id: ID, name: `d${i}`, file: `${i}.img`, sizeMiB: 1 })
    ),
    nets: body.nets.map(netRecord),
    createdAt: "",
    error: null,
  };
}

function some<T>(arbitrary: fc.Arbitrary<T>) {
  return fc.option(arbitrary, { nil: undefined, freq: 2 });
}

/** Numbers at and around what is allowed. */
function near(...edges: number[]): fc.Arbitrary<number> {
  return fc.oneof(
    fc.constantFrom(...edges.flatMap((it) => [it - 1, it, it + 1])),
    fc.constantFrom(...edges),
    fc.nat({ max: Math.max(...edges) }),
  );
}

const rate = near(1, 1000, 1e12);
const limit = fc.record({
  operationsPerSecond: rate,
  operationsBurst: rate,
  bytesPerSecond: rate,
  bytesBurst: rate,
}, { requiredKeys: [] });
const disk = fc.record({
  sizeMiB: near(1, 1024),
  readonly: fc.boolean(),
  cache: fc.constantFrom("cached", "direct", "none"),
  writeCache: fc.boolean(),
  rateLimit: fc.option(limit),
}, { requiredKeys: ["sizeMiB"] });
const net = fc.record({
  mac: fc.constantFrom("52:54:00:12:34:56", "53:54:00:12:34:56", "52:54:00:12:34:5A", "x"),
  bridge: fc.constantFrom(null, "br0"),
  linkUp: fc.boolean(),
  mtu: fc.option(near(68, 1500, 65521)),
  queues: fc.option(near(1, 8)),
  inPort: fc.boolean(),
  receiveLimit: fc.option(limit),
  sendLimit: fc.option(limit),
}, { requiredKeys: [] });
const memory = fc.record({
  hugePages: fc.constantFrom("auto", "transparent", "2M", "1G", "none"),
  mergeable: fc.boolean(),
  balloonMiB: near(0, 512, 1024),
  hotplugMiB: fc.oneof(near(0, 128, 512 * 1024), fc.nat(4096).map((n) => n * 128)),
  requestedMiB: fc.oneof(near(0, 128), fc.nat(300).map((n) => n * 32)),
}, { requiredKeys: [] });
const part = near(1, 2, 4, 8);
const cpu = fc.record({
  model: fc.constantFrom(...CPU_MODELS, "Pentium"),
  topology: fc.option(fc.record({ sockets: part, cores: part, threads: part })),
  nested: fc.boolean(),
  hyperv: fc.boolean(),
  pinning: fc.array(fc.array(near(0, MOST_HOST_CPUS - 1), { maxLength: 3 }), { maxLength: 9 }),
}, { requiredKeys: [] });
const guest = fc.record({
  name: fc.constant("web"),
  kernel: fc.constant("k"),
  cmdline: fc.constantFrom("", "console=ttyS0"),
  cpus: near(1, 2, 4, 8),
  memoryMiB: fc.oneof(near(64, 1024, 1024 * 1024), fc.constantFrom(512, 1024, 2048)),
  cpu: some(cpu),
  memory: some(memory),
  disks: fc.array(disk, { maxLength: MOST_DISKS + 1 }),
  nets: fc.array(net, { maxLength: MOST_NETS + 1 }),
  hotplugPorts: near(0, 2, 8),
  agent: fc.boolean(),
}, { requiredKeys: ["name", "kernel"] });

Deno.test("the VMM runs every guest that the API lets through", () => {
  let through = 0;
  fc.assert(
    fc.property(guest, (body) => {
      const parsed = GuestCreate.safeParse(body);
      if (!parsed.success) return;
      through++;
      const record = recordOf(parsed.data);
      const told = configOf(record, firstRun(record), PLACES);
      const { config, plugged } = parseStart(JSON.parse(JSON.stringify(told)));
      assertEquals([config.disks.length, config.nets.length + plugged.length], [
        parsed.data.disks.length,
        parsed.data.nets.length,
      ]);
    }),
    { numRuns: 3000 },
  );
  assert(through > 50, `only ${through} guests were let through`);
});

Deno.test("the VMM takes every disk and card to plug in that the API lets through", () => {
  let through = 0;
  fc.assert(
    fc.property(disk, net, (disk, net) => {
      const [wish, card] = [DiskCreate.safeParse(disk), NetCreate.safeParse(net)];
      if (wish.success) {
        const record = diskRecord(wish.data, { id: ID, name: "d", file: "d.img", sizeMiB: 1 });
        assert("disk" in plugged({ disk: diskConfig(record, "/d.img") }));
        through++;
      }
      if (card.success) {
        assert("net" in plugged({ net: netConfig(netRecord(card.data), "tap") }));
        through++;
      }
    }),
    { numRuns: 1000 },
  );
  assert(through > 100, `only ${through} devices were let through`);
});

Deno.test("numbers and names that both have are the same", () => {
  assertEquals([MOST_CPUS, MOST_PORTS, MOST_HOST_CPUS], [
    MAX_CPUS,
    MAX_HOTPLUG_PORTS,
    MAX_HOST_CPUS,
  ]);
  assertEquals([...CPU_MODELS], ["host", ...Object.keys(MODELS)]);
  for (const hotplugMiB of [128, 32 * 1024, 32 * 1024 + 128, 512 * 1024]) {
    assertEquals(addedStepMiB(hotplugMiB) * MIB, blockBytesFor(hotplugMiB * MIB));
  }
});

Deno.test("a guest with the most of everything is let through by both", () => {
  const body = {
    name: "web",
    kernel: "k",
    cpus: MOST_CPUS,
    memoryMiB: 1024 * 1024,
    memory: { hotplugMiB: 512 * 1024, requestedMiB: 512 * 1024, balloonMiB: 1024 * 1024 },
    disks: Array.from({ length: MOST_DISKS }, () => ({ sizeMiB: 1 })),
    nets: Array.from({ length: MOST_NETS }, () => ({ queues: 8, mtu: 65521 })),
    hotplugPorts: MOST_PORTS,
  };
  const record = recordOf(GuestCreate.parse(body));
  assertEquals(parseStart(configOf(record, firstRun(record), PLACES)).plugged.length, MOST_PORTS);
});
