/**
 * Disks that are files, and a mirror that is a few lists: md's part, as far as the storage asks for it.
 *
 * @module
 */
import { readTable } from "../disk/disk_table.ts";
import { SECTOR_BYTES } from "../disk/gpt.ts";
import { hasBlankEnds } from "../storage/erase.ts";
import type { DiskFacts, PartitionFacts } from "../storage/facts.ts";
import type { DiskRef, Ground, Tool } from "../storage/ground.ts";

interface FakeMember {
  device: string;
  state: string;
  slot: string;
}

interface FakeArray {
  wanted: number;
  members: FakeMember[];
  action: string;
}

export class FakeDisks implements Ground, AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "disks-" });
  readonly #disks = new Map<string, { path: string; sectors: number; serial: string | null }>();
  /** What each partition knows of a mirror. */
  readonly members = new Map<string, { uuid: string; wanted: number }>();
  /** By device: md0, md1. */
  readonly arrays = new Map<string, FakeArray>();
  /** Every program that was run. */
  readonly ran: string[] = [];
  /** Where a device is mounted. */
  readonly mounted = new Map<string, string>();
  readonly wrote: string[] = [];
  /** Called before anything is done; throws to stand for a power cut. */
  before: (what: string) => void = () => {};

  add(name: string, mib: number, serial: string | null = `SERIAL-${name}`): DiskRef {
    const path = `${this.folder}/${name}`;
    Deno.writeFileSync(path, new Uint8Array());
    Deno.truncateSync(path, mib * 2 ** 20);
    const sectors = mib * 2 ** 20 / SECTOR_BYTES;
    this.#disks.set(name, { path, sectors, serial });
    return { name, path, sectors };
  }

  /** Pulls a disk's plug. */
  pull(name: string): void {
    this.#disks.delete(name);
    for (const { members } of this.arrays.values()) {
      for (const it of members) if (it.device.startsWith(name)) it.state = "faulty";
    }
  }

  /** Brings the mirror in step, or ends what else goes on. */
  settle(): void {
    for (const array of this.arrays.values()) {
      array.action = "idle";
      for (const it of array.members) {
        if (it.state === "spare" && it.slot !== "none") it.state = "in_sync";
      }
    }
  }

  async look(): Promise<DiskFacts[]> {
    return await Promise.all([...this.#disks].map(async ([name, { path, sectors, serial }]) => {
      const table = await readTable(path, sectors).catch(() => null);
      const partitions = (table?.partitions ?? []).map((it): PartitionFacts => {
        const device = `${name}${it.number}`;
        const holders = [...this.arrays].filter(([, { members }]) =>
          members.some((member) => member.device === device)
        ).map(([array]) => array);
        return {
          ...{ name: device, number: it.number, firstSector: it.firstSector },
          sectors: it.lastSector - it.firstSector + 1,
          ...{ content: this.members.has(device) ? "part of a mirror" : null, holders },
          mountedOn: this.mounted.get(device) ?? null,
        };
      });
      return {
        ...{ name, path, sectors, sectorBytes: 512, model: "Fake", serial, wwn: null },
        ...{ bus: "sata", rotational: false, removable: false, readonly: false, table },
        ...{ content: null, holders: [], mountedOn: null, partitions },
        isBlank: table === null && await hasBlankEnds(path, sectors),
      };
    }));
  }

  showPartition(disk: DiskRef, number: number): Promise<string> {
    this.before(`show ${disk.name}${number}`);
    return Promise.resolve(`/dev/${disk.name}${number}`);
  }

  run(tool: Tool, args: readonly string[]): Promise<string> {
    const words = `${tool} ${args.join(" ")}`;
    this.before(words);
    this.ran.push(words);
    if (tool === "smartctl") return Promise.resolve("{}");
    return Promise.resolve(tool === "mdadm" ? this.#mdadm([...args]) : "");
  }

  async withMounted(device: string, act: (folder: string) => void): Promise<void> {
    this.before(`mount ${device}`);
    await Deno.mkdir(`${this.folder}/mounted`, { recursive: true });
    act(`${this.folder}/mounted`);
  }

  readArrayFile(name: string): string | null {
    const array = this.arrays.get("md0");
    if (!array) return null;
    const member = array.members.find(({ device }) => name.startsWith(`dev-${device}/`));
    if (member) return name.endsWith("/state") ? member.state : member.slot;
    switch (name) {
      case "raid_disks":
        return String(array.wanted);
      case "sync_action":
        return array.action;
      case "component_size":
        return "524288";
      case "mismatch_cnt":
        return "0";
      default:
        return null;
    }
  }

  arrayFiles(): string[] {
    return this.arrays.get("md0")?.members.map(({ device }) => `dev-${device}`) ?? [];
  }

  writeArrayFile(name: string, text: string): void {
    this.wrote.push(`${name} ${text}`);
    if (name === "sync_action") this.arrays.get("md0")!.action = text;
  }

  #mdadm(args: string[]): string {
    const devices = args.filter((it) => /^\/dev\/(?!md)/.test(it)).map((it) => it.slice(5));
    const name = args.find((it) => /^\/dev\/md/.test(it))?.slice(5) ?? "md0";
    const array = this.arrays.get(name);
    const has = (word: string) => args.some((it) => it === word || it.startsWith(`${word}=`));
    if (has("--examine")) {
      const it = this.members.get(devices[0]);
      return it ? `MD_LEVEL=raid1\nMD_DEVICES=${it.wanted}\nMD_UUID=${it.uuid}\n` : "";
    }
    if (has("--create") || has("--assemble")) {
      const uuid = this.members.get(devices[0])?.uuid ?? newUuid();
      const known = has("--assemble") ? this.members.get(devices[0])!.wanted : devices.length;
      for (const device of devices) this.members.set(device, { uuid, wanted: known });
      const members = devices.map((device, i) => ({ device, state: "in_sync", slot: String(i) }));
      this.arrays.set(name, { wanted: known, members, action: "idle" });
      return "";
    }
    if (has("--stop")) {
      this.arrays.delete(name);
      return "";
    }
    if (has("--zero-superblock")) {
      this.members.delete(devices[0]);
      return "";
    }
    if (!array) throw new Error(`there is no ${name}`);
    const [first] = array.members;
    if (has("--add")) {
      const slot = array.members.length < array.wanted ? "1" : "none";
      const { uuid } = this.members.get(first.device)!;
      this.members.set(devices[0], { uuid, wanted: array.wanted });
      array.members.push({ device: devices[0], state: "spare", slot });
      if (slot !== "none") array.action = "recover";
    }
    if (has("--fail")) {
      for (const it of array.members) if (it.device === devices[0]) it.state = "faulty";
    }
    if (has("--remove")) {
      array.members = array.members.filter((it) =>
        it.state !== "faulty" || devices.length > 0 && it.device !== devices[0]
      );
    }
    if (has("--grow")) {
      array.wanted = Number(/--raid-devices=(\d)/.exec(args.join(" "))![1]);
      for (const it of array.members) {
        const known = this.members.get(it.device);
        if (known) known.wanted = array.wanted;
        if (it.state === "spare" && array.wanted > 1) {
          it.slot = "1";
          array.action = "recover";
        }
      }
    }
    return "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

function newUuid(): string {
  const hex = crypto.randomUUID().replaceAll("-", "");
  return hex.match(/.{8}/g)!.join(":");
}
