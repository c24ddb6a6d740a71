/**
 * Starts guests' VMMs with what the host has for them, and clears away after them.
 *
 * @module
 */
import { join } from "@std/path";
import { seedPath } from "../cloud_init/seed.ts";
import { removeIfThere } from "../durable.ts";
import type { Images } from "../images/images.ts";
import type { Network } from "../network.ts";
import type { GuestRecord, NetRecord } from "../store/guests.ts";
import type { GuestDisks } from "./disks.ts";
import type { GuestConfig } from "../../vmm/control.ts";
import { Heir, settleHeir } from "./heir.ts";
import { startReceiving } from "./receiving_vmm.ts";
import { firstRun, type RunFile } from "./run.ts";
import { configOf, guestOf, netsOf, type Source } from "./source.ts";
import type { Places } from "./vm_config.ts";
import type { VmmPool } from "./vmm_pool.ts";
import { type VmmCommand, VmmProcess } from "./vmm_process.ts";

export interface LauncherOptions {
  images: Images;
  disks: GuestDisks;
  network: Network;
  command: VmmCommand;
  pool: VmmPool;
  /** Where each running guest has its directory. */
  runDirectory: string;
  /** Where VMMs keep kernels unpacked. */
  kernelCache: string;
}

export class Launcher {
  readonly #options: LauncherOptions;
  /** Taps that are being removed, by their cards. */
  readonly #detaching = new Map<string, Promise<void>>();

  constructor(options: LauncherOptions) {
    this.#options = options;
  }

  get runDirectory(): string {
    return this.#options.runDirectory;
  }

  directory(id: string): string {
    return join(this.#options.runDirectory, id);
  }

  controlSocket(id: string): string {
    return join(this.directory(id), "control.sock");
  }

  agentSocket(id: string): string {
    return join(this.directory(id), "agent.sock");
  }

  /** Throws where something that the guest is made of cannot be had. */
  check(record: GuestRecord): void {
    const { images, disks } = this.#options;
    images.require("kernel", record.kernel);
    if (record.initrd !== null) images.require("initrd", record.initrd);
    for (const disk of record.disks) disks.check(record, disk);
  }

  /** Starts the guest's VMM, which has it boot or go on from `source`. */
  async launch(record: GuestRecord, source?: Source): Promise<VmmProcess> {
    const { command, pool } = this.#options;
    const { id } = record;
    const directory = this.directory(id);
    const run = source?.run ?? firstRun(record);
    const guest = guestOf(record, run);
    const taps = new Map<string, string>();
    try {
      for (const net of netsOf(record, run)) taps.set(net.id, this.attach(net, guest));
      const config = configOf(record, run, this.#places(guest, taps));
      return VmmProcess.start(directory, config, {
        ...{ run, command, pool, source },
        cgroup: cgroupOf(id),
      });
    } catch (error) {
      removeIfThere(directory);
      await this.detach([...taps.keys()]);
      throw error;
    }
  }

  #places(record: GuestRecord, taps: ReadonlyMap<string, string>): Places {
    const { images, disks, kernelCache } = this.#options;
    const { id } = record;
    return {
      kernel: images.path("kernel", record.kernel),
      initrd: record.initrd === null ? null : images.path("initrd", record.initrd),
      kernelCache,
      agentSocket: this.agentSocket(id),
      seed: seedPath(this.directory(id)),
      disk: (disk) => disks.path(id, disk),
      tap: (net) => taps.get(net.id)!,
    };
  }

  /** Starts a VMM that is to receive what `going` says, at `socket`. */
  async receive(
    record: GuestRecord,
    going: { run: RunFile; socket: string; config(places: Places): GuestConfig },
  ): Promise<VmmProcess> {
    const { command, pool } = this.#options;
    const { id } = record;
    const directory = this.directory(id);
    const taps = new Map<string, string>();
    try {
      const used = new Set(Object.values(going.run.devices).map(({ id }) => id));
      for (const net of record.nets.filter(({ id }) => used.has(id))) {
        taps.set(net.id, this.attach(net, going.run.started));
      }
      const config = going.config(this.#places(record, taps));
      const { run, socket } = going;
      const options = { run, socket, command, pool, cgroup: cgroupOf(id) };
      return await startReceiving(directory, config, options);
    } catch (error) {
      removeIfThere(directory);
      await this.detach([...taps.keys()]);
      throw error;
    }
  }

  /** Makes a card's tap, for a guest with so many CPUs; its name. */
  attach(net: NetRecord, { cpus }: { cpus: number }): string {
    const { bridge, queues } = net;
    return this.#options.network.attach(net.id, {
      ...(bridge !== null && { bridge }),
      multiQueue: (queues ?? cpus) > 1,
    });
  }

  /** Removes the taps of cards. */
  async detach(netIds: readonly string[]): Promise<void> {
    for (const id of netIds) await this.#detach(id);
  }

  /** Once for all who ask, so that afterwards nobody is about to remove it again. */
  #detach(id: string): Promise<void> {
    const under = this.#detaching.get(id);
    if (under !== undefined) return under;
    const detaching = this.#options.network.detach(id)
      .finally(() => this.#detaching.delete(id));
    this.#detaching.set(id, detaching);
    return detaching;
  }

  /** Removes what is left of a run that is over. */
  async cleanUp(process: VmmProcess): Promise<void> {
    await process.cleanUp();
    await this.detach(process.run.netIds);
  }

  /** A VMM that is to go on with a running guest. */
  heir(id: string): Heir {
    const { command, pool } = this.#options;
    return Heir.start(this.directory(id), { command, pool, cgroup: cgroupOf(id) });
  }

  /** Finds the VMM that an earlier supervisor started for a guest; null where there is none. */
  async find(id: string): Promise<VmmProcess | null> {
    await settleHeir(this.directory(id));
    return await VmmProcess.adopt(this.directory(id), { cgroup: cgroupOf(id) });
  }
}

function cgroupOf(id: string): string {
  return `denovisor/${id}`;
}
