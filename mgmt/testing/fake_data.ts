import { ulid } from "@std/ulid";
import {
  type Disk,
  type DiskCreate,
  DiskCreate as DiskSchema,
  freeDiskName,
  type Guest,
  type GuestCreate,
  GuestCreate as Schema,
  type Host,
  type Image,
  type Net,
  type NetCreate,
  NetCreate as NetSchema,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { cloudInitFacts, newCloudInit } from "./fake_cloud_init.ts";

const MINUTE = 60_000;
export const ago = (minutes: number) => new Date(Date.now() - minutes * MINUTE).toISOString();

export function demoHost(): Host {
  return {
    name: "basement-1",
    version: "0.1.0",
    kernel: "6.12.48-amd64",
    cpuModel: "AMD EPYC 3251",
    cpus: 8,
    memoryMiB: 32768,
    memoryFreeMiB: 22937,
    diskMiB: 931 * 1024,
    diskFreeMiB: 744 * 1024,
    bridges: ["br0", "br-lab"],
    kvmProblem: null,
    addresses: ["192.168.1.20"],
    stores: [],
    atShutdown: "save",
    startedAt: ago(9000),
  };
}

/** A guest as the supervisor makes it of a body. */
export function newGuest(input: GuestCreate, more: Partial<Guest> = {}): Guest {
  const { disks, nets, cloudInit, ...body } = Schema.parse(input);
  return {
    ...body,
    id: ulid(),
    state: "stopped",
    error: null,
    pausedFor: null,
    resumesFrom: null,
    savedAt: null,
    disks: disks.map((wish) => newDisk({ ...wish, name: wish.name ?? freeDiskName(disks) })),
    nets: nets.map(newNet),
    freePorts: null,
    cloudInit: cloudInitFacts(body.name, cloudInit && newCloudInit(cloudInit)),
    agentFacts: null,
    vmmVersion: "0.1.0",
    upgradeAvailable: false,
    pending: [],
    createdAt: ago(2000),
    startedAt: null,
    ...more,
  };
}

export function newDisk(wish: DiskCreate): Disk {
  const { name = "disk", image, sizeMiB, ...settings } = DiskSchema.parse(wish);
  return {
    ...settings,
    id: ulid(),
    name,
    image,
    sizeMiB: sizeMiB ?? 2048,
    attached: null,
    restartNeeded: false,
  };
}

export function newNet(wish: NetCreate): Net {
  const bytes = crypto.getRandomValues(new Uint8Array(3));
  const mac = `52:54:00:${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
  return { mac, ...NetSchema.parse(wish), id: ulid(), attached: null, restartNeeded: false };
}

/** With all of its devices in use, as if it had been started so. */
export function attached(guest: Guest): Guest {
  let freePorts = guest.hotplugPorts;
  const place = (net: Net) => net.inPort && freePorts-- > 0 ? "port" : "boot";
  return {
    ...guest,
    disks: guest.disks.map((disk) => ({ ...disk, attached: "boot" })),
    nets: guest.nets.map((net) => ({ ...net, attached: place(net) })),
    freePorts: Math.max(0, freePorts),
  };
}

const DEBIAN = { kernel: "vmlinuz-6.12-cloud", initrd: "initrd-6.12-cloud" };

export function demoGuests(): Guest[] {
  const disk = (sizeMiB: number) => [{ image: "debian-12.raw", sizeMiB }];
  const all = [
    newGuest({
      ...DEBIAN,
      name: "web-1",
      cpus: 2,
      memoryMiB: 2048,
      disks: disk(20480),
      autostart: true,
    }, {
      state: "running",
      startedAt: ago(4321),
      agentFacts: { os: "Debian GNU/Linux 12 (bookworm)", addresses: ["192.168.1.77"] },
    }),
    newGuest({
      ...DEBIAN,
      name: "db-1",
      cpus: 4,
      memoryMiB: 4096,
      disks: disk(102400),
      autostart: true,
    }, {
      state: "running",
      startedAt: ago(1234),
    }),
    newGuest({ ...DEBIAN, name: "build", cpus: 2, memoryMiB: 1024, disks: disk(40960) }, {
      state: "stopping",
      startedAt: ago(77),
    }),
    newGuest({ ...DEBIAN, name: "attic", memoryMiB: 512, disks: disk(8192) }),
    newGuest({ ...DEBIAN, name: "lab-router", memoryMiB: 256, disks: disk(2048) }, {
      state: "failed",
      error: "The kernel panicked: it found no root file system on /dev/vda",
    }),
  ];
  return all.map((it) => it.state === "running" || it.state === "stopping" ? attached(it) : it);
}

export function demoImages(): Image[] {
  const usedBy = ["attic", "build", "db-1", "lab-router", "web-1"];
  return [
    { kind: "kernel", name: DEBIAN.kernel, sizeBytes: 8_400_000, createdAt: ago(5000), usedBy },
    { kind: "initrd", name: DEBIAN.initrd, sizeBytes: 31_200_000, createdAt: ago(5000), usedBy },
    {
      kind: "disk",
      name: "debian-12.raw",
      sizeBytes: 2 * 1024 ** 3,
      createdAt: ago(4990),
      usedBy: [],
    },
    {
      kind: "disk",
      name: "alpine-3.22.raw",
      sizeBytes: 180 * 1024 ** 2,
      createdAt: ago(800),
      usedBy: [],
    },
  ];
}
