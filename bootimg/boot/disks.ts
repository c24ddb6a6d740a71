/**
 * What the host's storage stands on: the disks that Linux shows, and Debian's programs for them.
 *
 * @module
 */
import { mount, MS_NOATIME, MS_NODEV, MS_NOSUID, unmount } from "../../hypervisor/sys/mounts.ts";
import { rereadPartitions } from "../../hypervisor/sys/partitions.ts";
import type { DiskBus } from "../../hypervisor/supervisor/api/storage_schemas.ts";
import { readTable } from "../disk/disk_table.ts";
import type { PartitionTable } from "../disk/gpt.ts";
import { ARRAY_FOLDER } from "../storage/array.ts";
import { hasBlankEnds } from "../storage/erase.ts";
import type { DiskFacts, PartitionFacts } from "../storage/facts.ts";
import type { DiskRef, Ground, Tool, ToolOptions } from "../storage/ground.ts";
import {
  describeProbe,
  isEmptyProbe,
  NOTHING_FOUND,
  parseProbe,
  plain,
  type Probe,
  probeArguments,
  SEVERAL_FOUND,
} from "../storage/probe.ts";
import { readTool } from "./children.ts";
import type { Coldplug } from "./coldplug.ts";
import { log, reason } from "./log.ts";
import { type BlockDevice, blockDevices, names, number, read } from "./sysfs.ts";

const PROGRAMS: Readonly<Record<Tool, string>> = {
  "mdadm": "/sbin/mdadm",
  "mkfs.xfs": "/sbin/mkfs.xfs",
  "blkid": "/sbin/blkid",
  "smartctl": "/sbin/smartctl",
};

const TOOL_LIMIT_MS = 120_000;
/** How long Linux may take to show a partition. */
const SHOWN_MS = 5000;

export interface LinuxDisksOptions {
  /** How to wait for devices, as process 1 hears of them. */
  until: Coldplug["until"];
  /** A folder to mount on for a moment. */
  scratch: string;
  /** Runs a program; for tests, which have it elsewhere. */
  runTool?: typeof readTool;
  programs?: Readonly<Record<Tool, string>>;
}

/** The real ground. */
export class LinuxDisks implements Ground {
  readonly #options: LinuxDisksOptions;
  /** What was found on a disk, until something tells that it may be another. */
  readonly #known = new Map<string, Promise<DiskFacts>>();

  constructor(options: LinuxDisksOptions) {
    this.#options = options;
  }

  /** Something has changed on a disk: it is looked at anew when somebody asks. */
  forget(): void {
    this.#known.clear();
  }

  async look({ fresh = false } = {}): Promise<DiskFacts[]> {
    if (fresh) this.forget();
    const devices = blockDevices();
    const disks = devices.filter(({ partition }) => partition === 0);
    const facts = await Promise.all(disks.map(async (disk) => {
      const parts = devices.filter((it) => it.disk === disk.name && it.partition !== 0);
      const key = [disk, ...parts].map(({ name, sectors }) => `${name} ${sectors}`).join();
      let known = this.#known.get(key);
      if (!known) this.#known.set(key, known = this.#probe(disk, parts));
      return withUse(await known, mounts());
    }));
    return facts;
  }

  async run(tool: Tool, args: readonly string[], options: ToolOptions = {}): Promise<string> {
    const { runTool = readTool, programs = PROGRAMS } = this.#options;
    const { codes, limitMs = TOOL_LIMIT_MS } = options;
    if (tool === "mdadm") log(`mdadm ${args.join(" ")}`);
    return await runTool(programs[tool], [...args], { codes, limitMs });
  }

  async showPartition(disk: DiskRef, partition: number): Promise<string> {
    rereadPartitions(disk.path);
    this.forget();
    const device = await this.#options.until(
      "block",
      () => blockDevices().find((it) => it.disk === disk.name && it.partition === partition),
      SHOWN_MS,
    );
    if (!device) {
      throw new Error(`Cannot use partition ${partition}: ${disk.path} does not show it`);
    }
    return device.path;
  }

  readArrayFile(name: string): string | null {
    return read(`${ARRAY_FOLDER}/${name}`);
  }

  arrayFiles(): string[] {
    return names(ARRAY_FOLDER);
  }

  writeArrayFile(name: string, text: string): void {
    Deno.writeTextFileSync(`${ARRAY_FOLDER}/${name}`, text, { create: false });
  }

  async withMounted(device: string, act: (folder: string) => void): Promise<void> {
    const { scratch } = this.#options;
    await Deno.mkdir(scratch, { recursive: true });
    mount("xfs", scratch, { source: device, flags: MS_NOSUID | MS_NODEV | MS_NOATIME });
    try {
      act(scratch);
    } finally {
      unmount(scratch);
    }
  }

  async #probe(disk: BlockDevice, parts: readonly BlockDevice[]): Promise<DiskFacts> {
    const folder = `/sys/block/${disk.name}`;
    const found = await this.#probeOne(disk.path);
    return {
      ...{ name: disk.name, path: disk.path, sectors: disk.sectors, sectorBytes: disk.sectorBytes },
      ...identityOf(disk.name),
      rotational: number(`${folder}/queue/rotational`) === 1,
      removable: number(`${folder}/removable`) === 1,
      readonly: number(`${folder}/ro`) === 1,
      table: await tableOf(disk),
      content: found === null ? "something that could not be read" : describeProbe(found),
      isBlank: found !== null && isEmptyProbe(found) && parts.length === 0 &&
        await hasBlankEnds(disk.path, disk.sectors).catch(() => false),
      ...{ holders: [], mountedOn: null },
      partitions: await Promise.all(parts.map(async (it): Promise<PartitionFacts> => {
        const probe = await this.#probeOne(it.path);
        return {
          ...{ name: it.name, number: it.partition, sectors: it.sectors },
          firstSector: number(`${folder}/${it.name}/start`) ?? 0,
          content: probe === null ? "something that could not be read" : describeProbe(probe),
          ...{ holders: [], mountedOn: null },
        };
      })),
    };
  }

  async #probeOne(path: string): Promise<Probe | null> {
    try {
      const codes = [NOTHING_FOUND, SEVERAL_FOUND];
      const text = await this.run("blkid", probeArguments(path), { codes, limitMs: 30_000 });
      return parseProbe(text);
    } catch (error) {
      log(`${path}: ${reason(error)}`, "warning");
      return null;
    }
  }
}

async function tableOf({ path, sectors }: BlockDevice): Promise<PartitionTable | null> {
  try {
    return await readTable(path, sectors);
  } catch {
    return null;
  }
}

/** What changes without anything on the disk's changing. */
function withUse(disk: DiskFacts, mounted: ReadonlyMap<string, string>): DiskFacts {
  const use = (name: string, folder: string) => ({
    holders: names(`${folder}/holders`),
    mountedOn: mounted.get(`/dev/${name}`) ?? null,
  });
  const folder = `/sys/block/${disk.name}`;
  return {
    ...disk,
    ...use(disk.name, folder),
    partitions: disk.partitions.map((it) => ({ ...it, ...use(it.name, `${folder}/${it.name}`) })),
  };
}

function mounts(): Map<string, string> {
  const lines = (read("/proc/mounts") ?? "").split("\n").map((it) => it.split(" "));
  return new Map(lines.map(([device, folder]): [string, string] => [device, folder ?? ""]));
}

/** Who a disk is, out of the places where the different kinds of drivers tell it. */
function identityOf(name: string): Pick<DiskFacts, "model" | "serial" | "wwn" | "bus"> {
  const folder = `/sys/block/${name}`;
  const text = (path: string) => plain(read(`${folder}/${path}`) ?? "") || null;
  const vendor = text("device/vendor");
  const model = text("device/model") ?? text("device/name");
  return {
    // PCI's numbers stand where SCSI has a name.
    model: vendor !== null && model !== null && !/^(ATA$|0x)/.test(vendor)
      ? `${vendor} ${model}`
      : model,
    serial: text("device/serial") ?? text("serial") ?? pageSerial(`${folder}/device/vpd_pg80`) ??
      usbSerial(folder),
    wwn: text("wwid") ?? text("device/wwid"),
    bus: busOf(folder),
  };
}

/** SCSI's page with the serial number: four bytes, then its text. */
function pageSerial(path: string): string | null {
  try {
    const bytes = Deno.readFileSync(path);
    return plain(new TextDecoder("latin1").decode(bytes.subarray(4, 4 + 64))) || null;
  } catch {
    return null;
  }
}

/** That of the USB device that a disk is behind. */
function usbSerial(folder: string): string | null {
  let path = realPath(`${folder}/device`);
  if (!path?.includes("/usb")) return null;
  for (; path.length > "/sys/devices".length; path = path.replace(/\/[^/]*$/, "")) {
    if (read(`${path}/idVendor`) !== null) return plain(read(`${path}/serial`) ?? "") || null;
  }
  return null;
}

function busOf(folder: string): DiskBus {
  const path = realPath(folder) ?? "";
  if (path.includes("/usb")) return "usb";
  if (path.includes("/nvme")) return "nvme";
  if (/\/ata\d/.test(path)) return "sata";
  if (path.includes("/end_device-")) return "sas";
  if (path.includes("/virtio")) return "virtio";
  if (path.includes("/mmc")) return "mmc";
  return "other";
}

function realPath(path: string): string | null {
  try {
    return Deno.realPathSync(path);
  } catch {
    return null;
  }
}
