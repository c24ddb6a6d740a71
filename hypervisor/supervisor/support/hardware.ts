/**
 * What the host is made of, as Linux tells it.
 *
 * @module
 */
import { SysError } from "../../sys/errno.ts";
import { readPseudoFile } from "../../sys/pseudo_files.ts";

/** No file of these is longer that is worth being read by a person. */
const MOST_CHARACTERS = 128 * 1024;

/** Files that are taken as they are, by the name that they get. */
const FILES: Readonly<Record<string, string>> = {
  "cpuinfo": "/proc/cpuinfo",
  "meminfo": "/proc/meminfo",
  "vmstat": "/proc/vmstat",
  "loadavg": "/proc/loadavg",
  "uptime": "/proc/uptime",
  "pressure-cpu": "/proc/pressure/cpu",
  "pressure-memory": "/proc/pressure/memory",
  "pressure-io": "/proc/pressure/io",
  "modules": "/proc/modules",
  "interrupts": "/proc/interrupts",
  "partitions": "/proc/partitions",
  "diskstats": "/proc/diskstats",
  "mounts": "/proc/mounts",
  "network": "/proc/net/dev",
  "routes": "/proc/net/route",
  "kernel-command-line": "/proc/cmdline",
};

/** Who made the machine; numbers that tell it from another of its kind are left out. */
const DMI = ["sys_vendor", "product_name", "product_version", "board_vendor", "board_name"]
  .concat("bios_vendor", "bios_version", "bios_date");

/** Texts by name; one that cannot be read says why. */
export function* hardwareFiles(): Generator<[name: string, text: string]> {
  yield [
    "machine",
    DMI.map((it) => `${it.padEnd(16)} ${facts("/sys/class/dmi/id", it)}\n`).join(""),
  ];
  yield ["pci", pciDevices(readOr("/proc/bus/pci/devices"))];
  yield ["disks", diskModels(readOr("/proc/partitions"))];
  for (const [name, path] of Object.entries(FILES)) {
    yield [name, readOr(path).slice(0, MOST_CHARACTERS)];
  }
}

/** A line for each device: place, class, vendor and device, driver, and who built it in. */
export function pciDevices(
  devices: string,
  fact: (folder: string, name: string) => string = facts,
): string {
  const lines = devices.split("\n").filter(Boolean).map((line) => {
    const fields = line.split("\t");
    const place = parseInt(fields[0], 16);
    const id = /^([0-9a-f]{4})([0-9a-f]{4})$/.exec(fields[1] ?? "");
    if (!Number.isInteger(place) || id === null) return null;
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
    const address = `0000:${hex(place >> 8 & 0xff, 2)}:${hex(place >> 3 & 31, 2)}.${place & 7}`;
    const folder = `/sys/bus/pci/devices/${address}`;
    const kind = fact(folder, "class").replace(/^0x/, "").slice(0, 4);
    const own = [fact(folder, "subsystem_vendor"), fact(folder, "subsystem_device")]
      .map((it) => it.replace(/^0x/, "")).join(":");
    const driver = fields.length > 17 ? fields.at(-1) : "-";
    return `${address} ${kind} ${id[1]}:${id[2]} (${own}) ${driver || "-"}\n`;
  });
  return lines.filter((it) => it !== null).join("");
}

/** A line for each whole disk: name, size, model and whether it turns. */
function diskModels(partitions: string): string {
  return [...partitions.matchAll(/^\s*\d+\s+\d+\s+(\d+)\s+(\S+)$/gm)].flatMap(
    ([, blocks, name]) => {
      const folder = `/sys/block/${name}`;
      const model = facts(`${folder}/device`, "model");
      if (!/^\w+$/.test(name) || facts(folder, "size") === "") return [];
      const turns = facts(`${folder}/queue`, "rotational") === "1" ? "turning" : "solid";
      return [`${name} ${Math.floor(Number(blocks) / 1024)} MiB ${turns} ${model}\n`];
    },
  ).join("");
}

function facts(folder: string, name: string): string {
  try {
    return readPseudoFile(`${folder}/${name}`).trim();
  } catch (error) {
    if (error instanceof SysError) return "";
    throw error;
  }
}

function readOr(path: string): string {
  try {
    return readPseudoFile(path);
  } catch (error) {
    if (error instanceof SysError) return `${error.message}\n`;
    throw error;
  }
}
