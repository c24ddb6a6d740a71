/**
 * What a host's disk keeps, found out without starting the host: this machine's Linux mounts it, which
 * makes good what the cut left, as the host's own would.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { SECTOR_BYTES } from "../../../bootimg/disk/gpt.ts";
import { readTable } from "../../../bootimg/disk/disk_table.ts";
import { DATA_NAME } from "../../../bootimg/disk/names.ts";
import { parseKept } from "../../../bootimg/settings/kept.ts";
import { exists } from "../../../hypervisor/supervisor/durable.ts";
import { run } from "../../../scripts/setup/command.ts";
import { inTrixie } from "../../../scripts/setup/trixie.ts";
import type { Kept } from "./ledger.ts";

const MIB = 1024 * 1024;

/** Reads it all; throws at the first thing that is broken. The disk's file is changed by it. */
export async function keptOn(disk: string): Promise<Kept> {
  const sectors = Deno.statSync(disk).size / SECTOR_BYTES;
  const table = await readTable(disk, sectors);
  if (table === null) throw new Error("it has no partition table");
  const data = table.partitions.find(({ name }) => name === DATA_NAME);
  // The first start was cut before there was anything to keep.
  if (data === undefined) return new Map();
  const range = [
    ...["--offset", String(data.firstSector * SECTOR_BYTES)],
    ...["--sizelimit", String((data.lastSector - data.firstSector + 1) * SECTOR_BYTES)],
  ];
  const { stdout } = await run(["losetup", "--find", "--show", ...range, disk]);
  const device = stdout.trim();
  try {
    const kept = await mounted(device, readKept);
    await inTrixie(["xfs_repair", "-n", device]);
    return kept;
  } finally {
    await run(["losetup", "--detach", device]);
  }
}

async function mounted<T>(device: string, look: (folder: string) => T): Promise<T> {
  const folder = Deno.makeTempDirSync({ prefix: "denovisor-kept-" });
  await run(["mount", "-t", "xfs", "-o", "nosuid,nodev,noexec,nouuid", device, folder]);
  try {
    return look(folder);
  } finally {
    await run(["umount", folder]);
    Deno.removeSync(folder);
  }
}

function readKept(data: string): Kept {
  const kept = new Map<string, string>();
  const settings = `${data}/host/settings.json`;
  if (exists(settings)) {
    const { kept: { settings: found }, problems } = parseKept(Deno.readTextFileSync(settings));
    if (problems.length > 0) throw new Error(problems.join("; "));
    if (found.hostname) kept.set("hostname", found.hostname);
    if (found.scrub) kept.set("scrub", found.scrub);
    if (found.network) kept.set("dns", found.network.dns.join());
  }
  for (const kind of ["kernel", "initrd", "disk"]) {
    const folder = `${data}/images/${kind}`;
    if (!exists(folder)) continue;
    for (const { name } of Deno.readDirSync(folder)) {
      if (name.startsWith(".")) continue;
      kept.set(`${kind} ${name}`, String(Deno.statSync(`${folder}/${name}`).size));
    }
  }
  if (exists(`${data}/denovisor.db`)) readStore(data, kept);
  return kept;
}

function readStore(data: string, kept: Map<string, string>): void {
  const database = new DatabaseSync(`${data}/denovisor.db`);
  try {
    const rows = (text: string) => database.prepare(text).all() as Record<string, string>[];
    const answers = rows("PRAGMA integrity_check").map((it) => it.integrity_check);
    if (answers.join() !== "ok") throw new Error(`the store is damaged: ${answers.join()}`);
    if (rows("PRAGMA foreign_key_check").length > 0) {
      throw new Error("the store contradicts itself");
    }
    const [{ user_version: version }] = rows("PRAGMA user_version");
    if (Number(version) === 0) return;
    if (rows("SELECT * FROM settings WHERE name = 'password'").length > 0) {
      kept.set("password", "set");
    }
    for (const { id, name, memory_mib } of rows("SELECT * FROM guests")) {
      kept.set(`guest ${name}`, String(memory_mib));
      for (
        const { file, size_mib } of database.prepare("SELECT * FROM disks WHERE guest = ?").all(id)
      ) {
        const path = `${data}/guests/${id}/${file}`;
        if (!exists(path)) throw new Error(`the guest ${name} has lost its disk ${file}`);
        const { size } = Deno.statSync(path);
        if (size !== Number(size_mib) * MIB) {
          throw new Error(`the disk ${file} of the guest ${name} has ${size} bytes`);
        }
      }
      for (const snapshot of database.prepare("SELECT * FROM snapshots WHERE guest = ?").all(id)) {
        kept.set(`snapshot ${name}/${snapshot.name}`, "there");
        if (!exists(`${data}/guests/${id}/snapshots/${snapshot.id}`)) {
          throw new Error(`the snapshot ${snapshot.name} of the guest ${name} has lost its files`);
        }
      }
    }
  } finally {
    database.close();
  }
}
