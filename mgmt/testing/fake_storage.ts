/**
 * The disks of a host that is only made up: one with the system and its data, one with somebody's
 * pictures, and one with nothing on it.
 *
 * @module
 */
import {
  DiskTarget,
  type HostStorage,
  RemoveMember,
  type StorageDisk,
  StorageSettings,
  type Task,
} from "../../hypervisor/supervisor/api/schemas.ts";
import { problem } from "./fake_problem.ts";

const GIB = 2 ** 30;
const TERABYTE = 10 ** 12;

const SMART: NonNullable<StorageDisk["smart"]> = {
  ...{ at: "2026-11-22T16:00:00Z", passed: true, temperatureCelsius: 41, powerOnHours: 4210 },
  ...{ wearPercent: 3, reallocatedSectors: null, pendingSectors: null, mediaErrors: 0 },
  warnings: [],
};

function disk(it: Partial<StorageDisk> & Pick<StorageDisk, "name" | "confirm">): StorageDisk {
  return {
    ...{ model: null, serial: it.confirm, wwn: null, bytes: 2 * TERABYTE, sectorBytes: 512 },
    ...{ bus: "nvme", rotational: false, removable: false, readonly: false, isBoot: false },
    ...{ isData: false, revision: `of ${it.name}`, content: null, isBlank: false },
    ...{ partitions: [], inUse: null, smart: null },
    ...it,
  };
}

export function demoStorage(): HostStorage {
  const bytes = 2 * TERABYTE - GIB;
  const mirrored = {
    number: 2,
    firstByte: GIB,
    bytes,
    content: "part of a mirror",
    use: "Used by md0",
  };
  return {
    disks: [
      disk({
        ...{ name: "nvme0n1", confirm: "S6Z1NJ0W400127", model: "Samsung SSD 990 PRO 2TB" },
        ...{ isBoot: true, isData: true, inUse: "The data of this host are on it", smart: SMART },
        partitions: [
          {
            ...{ number: 1, name: "denovisor-boot", firstByte: 2 ** 20, bytes: 64 * 2 ** 20 },
            ...{ content: "vfat file system “DENOVISOR”", use: null },
          },
          { ...mirrored, name: "denovisor-data" },
        ],
      }),
      disk({
        ...{ name: "sda", confirm: "WD-WX12D90K3YNV", model: "WDC WD20EFZX", bus: "sata" },
        ...{ rotational: true, smart: { ...SMART, wearPercent: null, powerOnHours: 31_000 } },
        partitions: [{
          ...{ number: 1, name: "Photos", firstByte: 2 ** 20, bytes: 2 * TERABYTE - 2 ** 21 },
          ...{ content: "ext4 file system “photos”", use: null },
        }],
      }),
      disk({
        ...{ name: "nvme1n1", confirm: "S6Z1NJ0W400131", model: "Samsung SSD 990 PRO 2TB" },
        ...{ isBlank: true, smart: { ...SMART, temperatureCelsius: 38, powerOnHours: 12 } },
      }),
    ],
    pool: {
      ...{ kind: "mirror", bytes, sync: null, refusal: null, neededBytes: bytes },
      members: [{ disk: "nvme0n1", state: "in-sync" }],
      scrub: { schedule: "monthly", last: null, nextAt: null },
    },
    alarms: [],
    installation: null,
  };
}

export interface FakeStorageOptions {
  emit: (name: string, data: unknown) => void;
  /** Begins a task that installs. */
  install: (detail: string) => Task;
}

export class FakeStorage {
  #told = demoStorage();
  readonly #options: FakeStorageOptions;

  constructor(options: FakeStorageOptions) {
    this.#options = options;
  }

  get told(): HostStorage {
    return this.#told;
  }

  /** Changes what there is, and tells it. */
  put(told: HostStorage): HostStorage {
    this.#told = told;
    this.#options.emit("storage", told);
    return told;
  }

  /** A disk of the mirror fails. */
  fail(name: string): void {
    const { pool } = this.#told;
    const members = pool.members.map((it) =>
      it.disk === name ? { ...it, state: "failed" as const } : it
    );
    this.put({
      ...this.#told,
      pool: { ...pool, members, refusal: null },
      alarms: [
        `A disk of the mirror has failed: ${name}. The data are on one disk alone: replace it`,
      ],
    });
  }

  /** The answer to a request below /host/storage; null for all others. */
  async answer(request: Request, path: string): Promise<Response | null> {
    const told = (status = 200) => Response.json(this.#told, { status });
    const { pool } = this.#told;
    switch (`${request.method} ${path}`) {
      case "GET /host/disks":
        return Response.json(this.#told.disks);
      case "GET /host/storage":
        return told();
      case "PATCH /host/storage": {
        const { scrub: schedule } = StorageSettings.parse(await request.json());
        this.put({ ...this.#told, pool: { ...pool, scrub: { ...pool.scrub, schedule } } });
        return told();
      }
      case "POST /host/storage/mirror":
        this.#add(this.#target(DiskTarget.parse(await request.json())));
        return told(202);
      case "POST /host/storage/unmirror": {
        const { disk } = RemoveMember.parse(await request.json());
        const members = pool.members.filter((it) => it.disk !== disk);
        this.put({ ...this.#told, alarms: [], pool: { ...pool, members, refusal: null } });
        return told();
      }
      case "POST /host/storage/scrub":
        this.put({
          ...this.#told,
          pool: {
            ...pool,
            sync: {
              ...{ kind: "scrub", doneBytes: 0, totalBytes: pool.bytes },
              ...{ bytesPerSecond: 6e7, secondsLeft: 33_000 },
            },
          },
        });
        return told(202);
      case "DELETE /host/storage/scrub":
        this.put({ ...this.#told, pool: { ...pool, sync: null } });
        return told();
      case "POST /host/storage/install": {
        const { name, confirm } = this.#target(DiskTarget.parse(await request.json()));
        return Response.json(this.#options.install(`${name} (${confirm})`), { status: 202 });
      }
    }
    return null;
  }

  #target({ disk, confirm, revision }: DiskTarget): StorageDisk {
    const found = this.#told.disks.find((it) => it.name === disk);
    if (found?.confirm !== confirm || found.revision !== revision) {
      const why =
        `Cannot add the disk ${disk}: it has changed since it was listed; look at it again`;
      throw problem(422, "storage_refused", why);
    }
    return found;
  }

  #add({ name }: StorageDisk): void {
    const { pool, disks } = this.#told;
    const members = pool.members.filter(({ state }) => state === "in-sync");
    this.put({
      ...this.#told,
      alarms: [],
      disks: disks.map((it) =>
        it.name === name ? { ...it, isData: true, inUse: "The data of this host are on it" } : it
      ),
      pool: {
        ...pool,
        members: [...members, { disk: name, state: "rebuilding" }],
        refusal: "A disk is being brought in step",
        sync: {
          ...{ kind: "rebuild", doneBytes: 0.4 * pool.bytes, totalBytes: pool.bytes },
          ...{ bytesPerSecond: 9e8, secondsLeft: 1300 },
        },
      },
    });
  }
}
