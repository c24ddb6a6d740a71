/**
 * Has the supervisor work on this machine, and records what is written.
 *
 * @module
 */
import { readTable, writeTable } from "../../../bootimg/disk/disk_table.ts";
import { ALIGNMENT_SECTORS, PARTITION_TYPES, SECTOR_BYTES } from "../../../bootimg/disk/gpt.ts";
import { DATA_NAME } from "../../../bootimg/disk/names.ts";
import { CHECKOUT } from "../../../scripts/setup/checkout.ts";
import { run } from "../../../scripts/setup/command.ts";
import { inTrixie, trixieCommand, trixieRoot } from "../../../scripts/setup/trixie.ts";
import { vmmBundle } from "../../../scripts/vmm_bundle.ts";
import { supervisorBundle } from "../supervisor_bundle.ts";
import { seedGuest, seedValues } from "./host_work.ts";
import { tellIdle } from "./idle_writes.ts";
import { LogFile, readWriteLog } from "./write_log.ts";
import type { HereJob } from "./supervised_here.ts";

const DISK_SECTORS = 1024 ** 3 / SECTOR_BYTES;
const ROUNDS = 25;

/** Makes the files of a record: the disk of before, the log, and the ledger. */
export async function recordHere(
  files: { before: string; writes: string; ledger: string },
  { folder, idle }: { folder: string; idle: number },
): Promise<void> {
  const disk = `${folder}/disk`;
  for (const path of [disk, files.writes]) await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(disk, DISK_SECTORS * SECTOR_BYTES);
  const firstSector = ALIGNMENT_SECTORS;
  const lastSector = DISK_SECTORS - ALIGNMENT_SECTORS - 1;
  await writeTable(disk, {
    diskId: crypto.randomUUID(),
    partitions: [{
      ...{ number: 1, type: PARTITION_TYPES.linuxReserved, id: crypto.randomUUID() },
      ...{ name: DATA_NAME, firstSector, lastSector },
    }],
  }, DISK_SECTORS);
  const offset = firstSector * SECTOR_BYTES;
  const bytes = (lastSector - firstSector + 1) * SECTOR_BYTES;
  await makeFileSystem(disk, { offset, bytes });
  await run(["cp", "--sparse=always", disk, files.before]);
  const seed = await seedGuest(folder);
  const seeds = `${folder}/import`;
  await Deno.mkdir(`${seeds}/${seed.folder}`, { recursive: true });
  await Deno.writeTextFile(`${seeds}/${seed.folder}/guest.json`, JSON.stringify(seed.guest));
  for (const [name, file] of Object.entries(seed.files)) {
    await Deno.copyFile(file, `${seeds}/${seed.folder}/${name}`);
  }
  const job: HereJob = {
    ...{ disk, log: files.writes, ledger: files.ledger, seeds, rounds: ROUNDS, idle },
    ...{ offset, bytes },
    ...{ supervisor: await supervisorBundle(), vmm: await vmmBundle(), given: seedValues(seed) },
  };
  const program = Deno.execPath();
  const command = [
    ...[program, "run", "-A", "--no-check", `${CHECKOUT}/tests/soak/power_cuts/supervised_here.ts`],
    JSON.stringify(job),
  ];
  const bind = [folder, program.replace(/\/[^/]*$/, "")];
  const { stdout } = await run(trixieCommand(await trixieRoot(), command, { bind }), {
    shownAs: "the supervisor's work",
  });
  if (idle === 0) return;
  const { from, to } = JSON.parse(stdout);
  using log = new LogFile(files.writes);
  const writes = readWriteLog(log).filter(({ end }) => end > from && end <= to);
  const table = await readTable(disk, DISK_SECTORS);
  tellIdle(table!, writes, idle).forEach((line) => console.log(line));
}

/** Before the log begins: until its file system is made, a data partition has another name. */
async function makeFileSystem(
  disk: string,
  { offset, bytes }: { offset: number; bytes: number },
): Promise<void> {
  const range = ["--offset", String(offset), "--sizelimit", String(bytes)];
  const { stdout } = await run(["losetup", "--find", "--show", ...range, disk]);
  const device = stdout.trim();
  try {
    await inTrixie(["mkfs.xfs", "-q", device]);
  } finally {
    await run(["losetup", "--detach", device]);
  }
}
