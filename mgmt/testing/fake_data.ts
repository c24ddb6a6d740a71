import { ulid } from "@std/ulid";
import type { Guest, GuestCreate, Host, Image } from "../../hypervisor/supervisor/api/schemas.ts";

const MINUTE = 60_000;
const ago = (minutes: number) => new Date(Date.now() - minutes * MINUTE).toISOString();

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
    kvmProblem: null,
    addresses: ["192.168.1.20"],
    startedAt: ago(9000),
  };
}

export function newGuest(body: GuestCreate, more: Partial<Guest> = {}): Guest {
  const bytes = crypto.getRandomValues(new Uint8Array(3));
  return {
    id: ulid(),
    name: body.name,
    state: "stopped",
    error: null,
    pausedFor: null,
    cpus: body.cpus ?? 1,
    memoryMiB: body.memoryMiB ?? 512,
    kernel: body.kernel,
    initrd: body.initrd ?? null,
    cmdline: body.cmdline ?? "console=ttyS0 root=/dev/vda rw",
    diskMiB: body.disk?.sizeMiB ?? (body.disk?.image ? 2048 : null),
    diskImage: body.disk?.image ?? null,
    network: body.network ?? true,
    mac: `52:54:00:${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`,
    autostart: body.autostart ?? false,
    createdAt: ago(2000),
    startedAt: null,
    ...more,
  };
}

const DEBIAN = { kernel: "vmlinuz-6.12-cloud", initrd: "initrd-6.12-cloud" };

export function demoGuests(): Guest[] {
  const disk = (sizeMiB: number) => ({ image: "debian-12.raw", sizeMiB });
  return [
    newGuest({
      ...DEBIAN,
      name: "web-1",
      cpus: 2,
      memoryMiB: 2048,
      disk: disk(20480),
      autostart: true,
    }, {
      state: "running",
      startedAt: ago(4321),
    }),
    newGuest({
      ...DEBIAN,
      name: "db-1",
      cpus: 4,
      memoryMiB: 4096,
      disk: disk(102400),
      autostart: true,
    }, {
      state: "running",
      startedAt: ago(1234),
    }),
    newGuest({ ...DEBIAN, name: "build", cpus: 2, memoryMiB: 1024, disk: disk(40960) }, {
      state: "stopping",
      startedAt: ago(77),
    }),
    newGuest({ ...DEBIAN, name: "attic", memoryMiB: 512, disk: disk(8192) }),
    newGuest({ ...DEBIAN, name: "lab-router", memoryMiB: 256, disk: disk(2048) }, {
      state: "failed",
      error: "The kernel panicked: it found no root file system on /dev/vda",
    }),
  ];
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
