/**
 * The host's disks and its pool as process 1 runs them: it tells of them, changes them when it is asked
 * to, watches over the mirror, and has its two halves compared each month.
 *
 * @module
 */
import type {
  DiskTarget,
  HostStorage as Told,
  Installation,
  Pool,
  RemoveMember,
  Scrub,
} from "../../hypervisor/supervisor/api/storage_schemas.ts";
import type { PartitionTable } from "../disk/gpt.ts";
import { alarmsOf } from "./alarms.ts";
import { type ArrayState, isWhole, tellMembers } from "./array.ts";
import {
  confirmWord,
  type DiskFacts,
  revisionOf,
  type Roles,
  tellDisks,
  whyInUse,
} from "./facts.ts";
import type { Ground } from "./ground.ts";
import { Health } from "./health.ts";
import { InstallJob } from "./install_job.ts";
import { addToPool, removeFromPool } from "./mirroring.ts";
import { findBoot } from "./place.ts";
import { arrayOf, type OpenPool } from "./pool.ts";
import { Scrubbing, type ScrubbingOptions } from "./scrubbing.ts";

/** What cannot be done with the disks, in words for who asked for it. */
export class StorageRefusal extends Error {
  override readonly name = "StorageRefusal";
}

export interface HostStorageOptions {
  ground: Ground;
  /** The pool that is mounted; null where data are in memory. */
  pool: OpenPool | null;
  /** The id of the partition that this system was booted from; null where the loader told none. */
  bootId: string | null;
  scrub: Pick<ScrubbingOptions, "file" | "timeZone" | "schedule">;
  /** Keeps another schedule; once it returns, it is on the disk. */
  keepSchedule: (schedule: Scrub["schedule"]) => void;
  /** Puts files on a pool that is installed, mounted on the folder. */
  fill?: (folder: string) => void;
  sync: () => void;
  log: (text: string) => void;
  /** Told what somebody has to see to, when it changes. */
  onAlarms: (alarms: string[]) => void;
  now?: () => number;
}

interface BootDisk {
  name: string;
  path: string;
  table: PartitionTable;
}

export class HostStorage {
  readonly #options: HostStorageOptions;
  readonly #health: Health;
  readonly #scrubbing: Scrubbing;
  /** The one change of disks that is under way. */
  #doing: string | null = null;
  #job: InstallJob | null = null;
  #alarms = "[]";

  constructor(options: HostStorageOptions) {
    this.#options = options;
    this.#health = new Health(options.ground, options.log);
    this.#scrubbing = new Scrubbing({ ...options.scrub, ground: options.ground, now: options.now });
  }

  /** All that there is to tell. */
  async tell(options: { fresh?: boolean } = {}): Promise<Told> {
    const { ground } = this.#options;
    const disks = await ground.look(options);
    const smart = await this.#health.byName();
    const roles = this.#roles(disks);
    const pool = this.#pool(disks);
    return {
      disks: await tellDisks(disks, roles, smart),
      pool,
      alarms: alarmsOf(pool, disks, smart),
      installation: this.#job?.told ?? null,
    };
  }

  /** Looks after things; for a timer. */
  async watch(): Promise<void> {
    this.#scrubbing.watch();
    const { alarms } = await this.tell();
    const text = JSON.stringify(alarms);
    if (text === this.#alarms) return;
    this.#alarms = text;
    this.#options.onAlarms(alarms);
  }

  /** Asks disks how they are; for a timer. */
  async askHealth(): Promise<void> {
    await this.#health.ask();
    await this.watch();
  }

  /** Adds a disk to the pool, or puts it in the place of one that is gone. */
  async mirror(target: DiskTarget): Promise<Told> {
    const { ground } = this.#options;
    await this.alone("A disk is being added", async () => {
      const disks = await ground.look({ fresh: true });
      const { refusal, neededBytes } = this.#pool(disks);
      if (refusal !== null) throw new StorageRefusal(`Cannot add a disk: ${refusal}`);
      const disk = await this.#target(target, disks, "Cannot add the disk");
      if (disk.sectors * 512 < neededBytes) {
        throw new StorageRefusal(
          `Cannot add the disk ${disk.name}: it is smaller than the pool, which takes ${
            Math.ceil(neededBytes / 2 ** 20)
          } MiB`,
        );
      }
      const members = this.#memberDisks(disks, arrayOf(ground)!);
      const part = members.flatMap((it) => it.partitions)
        .find(({ name }) => arrayOf(ground)!.members.some(({ device }) => device === name))!;
      const boot = this.#boot(disks);
      await refusing(() =>
        addToPool(ground, {
          ...{ target: disk, boot, members },
          neededSectors: part.sectors,
        })
      );
    });
    return await this.tell({ fresh: true });
  }

  /** Takes a disk out of the mirror; null stands for one that is missing. */
  async unmirror({ disk: name, confirm }: RemoveMember): Promise<Told> {
    const { ground } = this.#options;
    await this.alone("A disk is being taken out", async () => {
      const disks = await ground.look({ fresh: true });
      const array = arrayOf(ground);
      if (array === null || array.wanted < 2) {
        throw new StorageRefusal("Cannot take a disk out: the pool is not mirrored");
      }
      const disk = name === null ? null : disks.find((it) => it.name === name);
      if (disk === undefined || disk !== null && confirmWord(disk, disks) !== confirm) {
        throw new StorageRefusal(`Cannot take ${name} out: it is another disk than was listed`);
      }
      const own = disk && array.members.find(({ device }) => isOn(disk, device));
      if (disk && !own) {
        throw new StorageRefusal(`Cannot take ${name} out: it is not in the mirror`);
      }
      if (!disk && !tellMembers(array, () => null).some(({ state }) => state === "missing")) {
        throw new StorageRefusal("Cannot take the missing disk out: none is missing");
      }
      const left = array.members.filter((it) => it !== own && it.state === "in-sync");
      const stays = disks.find((it) => left.some(({ device }) => isOn(it, device)));
      if (!stays) {
        throw new StorageRefusal(
          `Cannot take ${name ?? "the missing disk"} out: no other has all of the data`,
        );
      }
      await refusing(() =>
        removeFromPool(ground, { device: own?.device ?? null, disk: disk ?? null, stays })
      );
    });
    return await this.tell({ fresh: true });
  }

  /** Begins to compare the two disks now, or ends that. */
  async scrub(wanted: boolean): Promise<Told> {
    const why = this.#scrubbing.turn(wanted);
    if (why !== null) throw new StorageRefusal(why);
    return await this.tell();
  }

  async setSchedule(schedule: Scrub["schedule"]): Promise<Told> {
    this.#options.keepSchedule(schedule);
    return await this.tell();
  }

  /** Begins to install on a disk. */
  async install(target: DiskTarget): Promise<Told> {
    const { ground, fill, sync, log } = this.#options;
    const started = Promise.withResolvers<void>();
    const done = this.alone("An installation is under way", async () => {
      const disks = await ground.look({ fresh: true });
      const disk = await this.#target(target, disks, "Cannot install on the disk");
      const boot = this.#boot(disks);
      if (boot === null) {
        throw new StorageRefusal("Cannot install: the disk that was booted from is gone");
      }
      const job = this.#job = new InstallJob(ground, {
        ...{ target: disk, confirm: target.confirm, boot, fill, sync, log },
      });
      started.resolve();
      await job.done;
    });
    await Promise.race([started.promise, done]);
    return await this.tell();
  }

  async cancelInstall(): Promise<Told> {
    if (!this.#job?.cancel()) {
      throw new StorageRefusal("Cannot cancel the installation: none can be cancelled now");
    }
    await this.#job.done;
    return await this.tell();
  }

  get installation(): Installation | null {
    return this.#job?.told ?? null;
  }

  /** Does what changes disks while nothing else does; `what` tells others why they cannot. */
  async alone<T>(what: string, act: () => Promise<T>): Promise<T> {
    if (this.#doing !== null) throw new StorageRefusal(`Cannot do this now: ${this.#doing}`);
    this.#doing = what;
    try {
      return await act();
    } finally {
      this.#doing = null;
    }
  }

  /** The disk that is meant, if it still is what was listed and nothing uses it. */
  async #target(
    { disk: name, confirm, revision }: DiskTarget,
    disks: readonly DiskFacts[],
    doing: string,
  ): Promise<DiskFacts> {
    const refuse = (why: string) => new StorageRefusal(`${doing} ${name}: ${why}`);
    const disk = disks.find((it) => it.name === name);
    if (!disk) throw refuse("there is none of that name now");
    if (confirmWord(disk, disks) !== confirm) {
      throw refuse(`its serial number is ${confirmWord(disk, disks)}, not ${confirm}`);
    }
    const why = whyInUse(disk, this.#roles(disks));
    if (why !== null) throw refuse(why);
    if (await revisionOf(disk) !== revision) {
      throw refuse("it has changed since it was listed; look at it again");
    }
    return disk;
  }

  #roles(disks: readonly DiskFacts[]): Roles {
    const array = arrayOf(this.#options.ground);
    const { pool } = this.#options;
    const data = pool === null
      ? []
      : pool.kind === "mirror" && array
      ? this.#memberDisks(disks, array).map(({ name }) => name)
      : disks.filter((it) => isOn(it, deviceName(pool.device))).map(({ name }) => name);
    return { boot: this.#boot(disks)?.name ?? null, data };
  }

  /** The disk that this system was booted from; null where it is gone. */
  #boot(disks: readonly DiskFacts[]): BootDisk | null {
    const tables = disks.flatMap(({ name, path, table }) => table ? [{ name, path, table }] : []);
    return findBoot(tables, this.#options.bootId) ?? null;
  }

  #memberDisks(disks: readonly DiskFacts[], { members }: ArrayState): DiskFacts[] {
    return disks.filter((disk) => members.some(({ device }) => isOn(disk, device)));
  }

  #pool(disks: readonly DiskFacts[]): Pool {
    const { pool, ground } = this.#options;
    const scrub = this.#scrubbing.tell();
    const array = pool?.kind === "mirror" ? arrayOf(ground) : null;
    if (pool === null) {
      const refusal = "The data are in memory: there is no pool";
      return { kind: "none", bytes: 0, members: [], sync: null, scrub, refusal, neededBytes: 0 };
    }
    const nameOf = (device: string) => disks.find((it) => isOn(it, device))?.name ?? null;
    if (array === null) {
      const device = deviceName(pool.device);
      const part = disks.flatMap((it) => it.partitions).find(({ name }) => name === device);
      const bytes = (part?.sectors ?? 0) * 512;
      return {
        ...{ kind: "plain", bytes, sync: null, scrub, neededBytes: bytes },
        members: [{ disk: nameOf(device), state: "in-sync" }],
        refusal:
          "It was made by an earlier release, and behind it is no room for what a mirror needs",
      };
    }
    const members = tellMembers(array, nameOf);
    const needed = disks.flatMap((it) => it.partitions)
      .find(({ name }) => array.members.some(({ device }) => device === name));
    return {
      ...{ kind: "mirror", bytes: array.bytes, members, sync: array.sync, scrub },
      neededBytes: (needed?.sectors ?? 0) * 512,
      refusal: array.members.some(({ state }) => state === "rebuilding")
        ? "A disk is being brought in step"
        : array.wanted > 1 && isWhole(array)
        ? "It is on two disks already"
        : null,
    };
  }
}

/** Whether a device such as "sda2" is one of a disk's partitions. */
function isOn({ partitions }: DiskFacts, device: string): boolean {
  return partitions.some(({ name }) => name === device);
}

function deviceName(path: string): string {
  return path.replace(/^\/dev\//, "");
}

/** What a disk or a program says against it is for who chose the disk. */
async function refusing<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new StorageRefusal(error instanceof Error ? error.message : String(error));
  }
}
