/**
 * From a stick to a disk, and from one disk to two: the appliance on PCs with several disks.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readTable } from "../../bootimg/disk/disk_table.ts";
import { SECTOR_BYTES } from "../../bootimg/disk/gpt.ts";
import {
  BIOS_NAME,
  BOOT_NAME,
  DATA_NAME,
  MIRROR_NAME,
  SLOT_NAMES,
  STATE_NAME,
} from "../../bootimg/disk/names.ts";
import type { HostStorage, StorageDisk } from "../../hypervisor/supervisor/api/schemas.ts";
import { consoleAnswers } from "../../scripts/demo_pc/console_answers.ts";
import { Appliance, ApplianceDisk } from "./appliance/host.ts";

const MIB = 2 ** 20;
/** Room for larger images, and the least that data need. */
const DISK_BYTES = 1700 * MIB;
/** What the loader has of its own, and room for newer systems: behind all others in a table. */
const LOADER = [STATE_NAME, BIOS_NAME];
const SLOTS_AND_LOADER = [SLOT_NAMES.a, SLOT_NAMES.b, ...LOADER];
const SETTINGS = "hostname: of-the-stick\ninstall: { disk: TARGET1, erase: true }\n";

async function up(host: Appliance): Promise<void> {
  // From here on the screen is in the error, should something be missing.
  await host.pc.screen.waitFor(/^Console +https:/, 90 * host.patience);
  await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
  await host.until("the supervisor", () => host.process("supervisor"));
  const problems = host.pc.screen.lines.filter((it) => it.text.startsWith("Problem"));
  assertEquals(problems, []);
  assertMatch(await host.ask<string>("read", "/proc/mounts"), /^\/dev\/md0 \/data xfs /m);
}

/** The supervisor's process is there before its API is. */
const storageOf = (host: Appliance) =>
  host.until("the API", () => host.ask<HostStorage>("api", "GET /host/storage"));

async function namesOn(path: string): Promise<string[]> {
  const table = await readTable(path, (await Deno.stat(path)).size / SECTOR_BYTES);
  return table!.partitions.map(({ name }) => name);
}

async function powerOff(host: Appliance): Promise<void> {
  await host.pc.powerButton();
  assert(await host.pc.isOff(90 * host.patience), host.pc.screen.lastWords);
}

const facts = ({ serial, isBoot, isData }: StorageDisk) => ({ serial, isBoot, isData });

async function installByHand(host: Appliance): Promise<void> {
  const { disks } = await storageOf(host);
  const { name: disk, confirm, revision } = disks.find(({ serial }) => serial === "THIRD1")!;
  const body = JSON.stringify({ disk, confirm, revision });
  await host.ask("api", `POST /host/storage/install ${body}`);
  const done = await host.until("the installation", async () => {
    const { installation } = await storageOf(host);
    return installation?.state === "running" ? undefined : installation;
  }, 120);
  assertEquals([done?.state, done?.error], ["done", null]);
}

Deno.test("a stick installs by itself, and the disk goes on without it, alone and mirrored", async (t) => {
  await using stick = await ApplianceDisk.stick(SETTINGS);
  const target = await stick.beside("target", DISK_BYTES);
  const second = await stick.beside("second", DISK_BYTES);
  const third = await stick.beside("third", DISK_BYTES);
  // What somebody has left on it may be lost, as the settings say.
  await Deno.writeFile(target, new TextEncoder().encode("somebody's"), { create: false });
  await Deno.truncate(target, DISK_BYTES);
  await t.step(
    "the stick installs on the disk that it names, goes on with its pool, and installs by the API",
    async () => {
      await using host = await Appliance.start(stick, {
        ...{ diskBus: "sata", otherDisks: { TARGET1: target, THIRD1: third } },
      });
      await up(host);
      const { disks, pool, alarms } = await storageOf(host);
      const disk = disks.find(({ serial }) => serial === "TARGET1")!;
      assertEquals([disk.isBoot, disk.isData, disk.bus], [false, true, "nvme"]);
      assertEquals(disks.find(({ isBoot }) => isBoot)?.bus, "sata");
      assertEquals([pool.kind, pool.members, alarms], ["mirror", [{
        ...{ disk: disk.name, state: "in-sync" },
      }], []]);
      assertEquals(await namesOn(stick.path), [BOOT_NAME, ...LOADER], "the stick is as it was");
      await installByHand(host);
      await powerOff(host);
    },
  );
  assertEquals(await namesOn(target), [BOOT_NAME, DATA_NAME, ...SLOTS_AND_LOADER]);
  assertEquals(await namesOn(third), [BOOT_NAME, DATA_NAME, ...SLOTS_AND_LOADER]);
  await t.step("the disk that the API installed on starts under a BIOS", async () => {
    await using host = await Appliance.start(stick, {
      ...{ path: third, diskBus: "sata", firmware: "bios" },
    });
    await up(host);
    const name = await host.ask<string>("read", "/proc/sys/kernel/hostname");
    assertEquals(name.trim(), "of-the-stick");
    const { disks, pool } = await storageOf(host);
    assertEquals(disks.map(({ isBoot, isData }) => [isBoot, isData]), [[true, true]]);
    assertEquals(pool.members.map(({ state }) => state), ["in-sync"]);
    await powerOff(host);
  });
  await t.step("the disk boots without the stick, and is mirrored by the API", async () => {
    await using host = await Appliance.start(stick, {
      ...{ path: target, otherDisks: { SECOND1: second } },
    });
    await up(host);
    const name = await host.ask<string>("read", "/proc/sys/kernel/hostname");
    assertEquals(name.trim(), "of-the-stick");
    const { disks } = await storageOf(host);
    // QEMU's PC calls the disk that it boots from so.
    assertEquals(disks.map(facts).filter(({ isBoot }) => isBoot), [
      { serial: "denovisor", isBoot: true, isData: true },
    ]);
    const other = disks.find(({ serial }) => serial === "SECOND1")!;
    const { name: disk, confirm, revision } = other;
    const body = JSON.stringify({ disk, confirm, revision });
    // The answer comes once the system is copied, which an emulated PC may take longer for.
    await host.ask("api", `POST /host/storage/mirror ${body}`).catch(() => {});
    await host.until("the mirror in step", async () => {
      const { pool: { members } } = await storageOf(host);
      const inStep = members.filter(({ state }) => state === "in-sync");
      return inStep.length === 2 ? true : undefined;
    }, 120);
    const smart = await host.until("the disks' health", async () => {
      const asked = (await storageOf(host)).disks.map((it) => it.smart);
      return asked.every((it) => it !== null) ? asked : undefined;
    }, 120);
    assertEquals(smart.map((it) => it?.warnings), [[], []]);
    await powerOff(host);
  });
  assertEquals(await namesOn(target), [BOOT_NAME, MIRROR_NAME, ...SLOTS_AND_LOADER]);
  await t.step("the second disk starts by itself, and says that the first is missing", async () => {
    await using host = await Appliance.start(stick, { path: second });
    await consoleAnswers({ port: host.port, limitSeconds: 120 * host.patience });
    await host.pc.screen.waitFor(/^Problem +A disk of the mirror is missing/, 60 * host.patience);
    const name = await host.ask<string>("read", "/proc/sys/kernel/hostname");
    assertEquals(name.trim(), "of-the-stick");
    await powerOff(host);
  });
});
