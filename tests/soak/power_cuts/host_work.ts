/**
 * What a host is asked to do while its power may be cut, each change written down.
 *
 * @module
 */
import type { HostNetwork } from "../../../hypervisor/supervisor/api/network_schemas.ts";
import type {
  Guest,
  Image,
  SnapshotTree,
  Task,
} from "../../../hypervisor/supervisor/api/schemas.ts";
import { type SeedGuestFiles } from "../../../scripts/demo_pc/flash.ts";
import { HOST_NAME, smallGuest } from "../../e2e/appliance/host.ts";
import type { Ledger } from "./ledger.ts";

/** The guest that comes with the disk. */
export const SEED_GUEST = "seed";
const SEED_MEMORY_MIB = 128;
const MIB = 1024 * 1024;
const DISK_IMAGE = "seed.img";

/** It has a disk with something on it; `folder` is where that is made. */
export async function seedGuest(folder: string): Promise<SeedGuestFiles> {
  const seed = await smallGuest(SEED_GUEST);
  const bytes = new Uint8Array(4 * MIB);
  for (let at = 0; at < bytes.length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  const path = `${folder}/${DISK_IMAGE}`;
  await Deno.writeFile(path, bytes);
  const named = seed.guest.files as Record<string, string>;
  return {
    folder: seed.folder,
    guest: { ...seed.guest, memoryMiB: SEED_MEMORY_MIB, files: { ...named, disk: DISK_IMAGE } },
    files: { ...seed.files, [DISK_IMAGE]: path },
  };
}

/** The values of what comes with the disk. */
export function seedValues(seed: SeedGuestFiles): Record<string, string> {
  const named = Object.entries(seed.guest.files as Record<string, string>);
  const images = named.map(([kind, name]) => [
    `${kind} ${name}`,
    String(Deno.statSync(seed.files[name]).size),
  ]);
  return {
    hostname: HOST_NAME,
    [`guest ${SEED_GUEST}`]: String(SEED_MEMORY_MIB),
    ...Object.fromEntries(images),
  };
}

/** The host that is asked, as an appliance's agent answers. */
export interface AskedHost {
  ask<T>(action: "api" | "read", argument: string): Promise<T>;
  until<T>(what: string, ask: () => Promise<T | undefined>, seconds?: number): Promise<T>;
}

/** Work on one host, by its API. */
export class HostWork {
  readonly #host: AskedHost;
  readonly #ledger: Ledger;

  constructor(host: AskedHost, ledger: Ledger) {
    this.#host = host;
    this.#ledger = ledger;
  }

  async #api<T>(request: string): Promise<T> {
    const answer = await this.#host.ask<T & { code?: string; message?: string }>("api", request);
    if (answer?.code) throw new Error(`Cannot ${request}: ${answer.message}`);
    return answer;
  }

  /** Returns once the guest is there that comes with the disk. */
  async arrived(): Promise<void> {
    await this.#host.until("the guest that comes with the disk", async () => {
      const all = await this.#api<Guest[]>("GET /guests");
      return all.find(({ name }) => name === SEED_GUEST);
    }, 120);
  }

  async setPassword(): Promise<void> {
    const code = (await this.#host.ask<string>("read", "/run/denovisor/setup_code")).trim();
    const body = JSON.stringify({ code, password: "of no importance" });
    await this.#ledger.change({ password: "set" }, () => this.#api(`POST /setup ${body}`));
  }

  async startSeed(): Promise<void> {
    const { id } = await this.#guest(SEED_GUEST);
    await this.#api(`POST /guests/${id}/start`);
  }

  async create(name: string): Promise<void> {
    const seed = await this.#guest(SEED_GUEST);
    const body = {
      ...{ name, memoryMiB: 64, kernel: seed.kernel, initrd: seed.initrd, nets: [] },
      disks: [{ image: DISK_IMAGE }, { sizeMiB: 8 }],
    };
    await this.#ledger.change(
      { [`guest ${name}`]: "64" },
      () => this.#api(`POST /guests ${JSON.stringify(body)}`),
    );
  }

  async setMemory(name: string, memoryMiB: number): Promise<void> {
    const { id } = await this.#guest(name);
    await this.#ledger.change(
      { [`guest ${name}`]: String(memoryMiB) },
      () => this.#api(`PATCH /guests/${id} ${JSON.stringify({ memoryMiB })}`),
    );
  }

  async delete(name: string): Promise<void> {
    const { id } = await this.#guest(name);
    await this.#ledger.change(
      { [`guest ${name}`]: null },
      () => this.#api(`DELETE /guests/${id}`),
    );
  }

  async setScrub(scrub: "monthly" | "off"): Promise<void> {
    await this.#ledger.change(
      { scrub },
      () => this.#api(`PATCH /host/storage ${JSON.stringify({ scrub })}`),
    );
  }

  async setDns(address: string): Promise<void> {
    const { network } = await this.#api<HostNetwork>("GET /host/network");
    const body = JSON.stringify({ ...network, dns: [address] });
    await this.#api(`PUT /host/network ${body}`);
    await this.#ledger.change(
      { dns: address },
      () =>
        this.#host.until("the network's confirmation", async () => {
          await this.#api("POST /host/network/confirm");
          return true;
        }),
    );
  }

  /** Of the guest that came with the disk; with its memory where it runs. */
  async snapshot(name: string): Promise<void> {
    const { id } = await this.#guest(SEED_GUEST);
    await this.#ledger.change({ [`snapshot ${SEED_GUEST}/${name}`]: "there" }, async () => {
      const { id: task } = await this.#api<Task>(
        `POST /guests/${id}/snapshots ${JSON.stringify({ name })}`,
      );
      await this.#host.until("the snapshot", async () => {
        const all = await this.#snapshots(id);
        const { state } = await this.#api<Task>(`GET /tasks/${task}`);
        if (state === "failed") throw new Error("the snapshot has failed");
        return all.find((it) => it.name === name);
      }, 60);
    });
  }

  async deleteSnapshot(name: string): Promise<void> {
    const { id } = await this.#guest(SEED_GUEST);
    const all = await this.#snapshots(id);
    const snapshot = all.find((it) => it.name === name)!;
    await this.#ledger.change(
      { [`snapshot ${SEED_GUEST}/${name}`]: null },
      () => this.#api(`DELETE /guests/${id}/snapshots/${snapshot.id}`),
    );
  }

  /** What the host itself says that it keeps. */
  async kept(): Promise<Map<string, string>> {
    const kept = new Map<string, string>();
    for (const guest of await this.#api<Guest[]>("GET /guests")) {
      kept.set(`guest ${guest.name}`, String(guest.memoryMiB));
      for (const { name } of await this.#snapshots(guest.id)) {
        kept.set(`snapshot ${guest.name}/${name}`, "there");
      }
    }
    for (const { kind, name, sizeBytes } of await this.#api<Image[]>("GET /images")) {
      kept.set(`${kind} ${name}`, String(sizeBytes));
    }
    const { setupNeeded } = await this.#api<{ setupNeeded: boolean }>("GET /session");
    if (!setupNeeded) kept.set("password", "set");
    return kept;
  }

  async #snapshots(guest: string): Promise<SnapshotTree["snapshots"]> {
    return (await this.#api<SnapshotTree>(`GET /guests/${guest}/snapshots`)).snapshots;
  }

  async #guest(name: string): Promise<Guest> {
    const found = (await this.#api<Guest[]>("GET /guests")).find((it) => it.name === name);
    if (!found) throw new Error(`Cannot find the guest ${name}`);
    return found;
  }
}
