/**
 * The image starts by whatever starts a PC: UEFI, a BIOS, and UEFI with Secure Boot, which refuses one
 * that nobody signed. Each with 1 GiB of RAM, the least that is promised to do.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Firmware } from "../../scripts/demo_pc/pc.ts";
import { consoleAnswers } from "../../scripts/demo_pc/console_answers.ts";
import { CACHE } from "../../scripts/setup/checkout.ts";
import { Appliance, ApplianceDisk } from "./appliance/host.ts";
import { memoryTable, readMemory } from "./appliance/memory.ts";
import { snakeoilKey } from "./appliance/snakeoil.ts";

const MEMORY_MIB = 1024;
/** What guests are promised of it. */
const GUESTS_MIB = 600;

Deno.test("the image starts by UEFI with 1 GiB, and leaves 600 MiB to guests", async () => {
  await using disk = await ApplianceDisk.make({ bare: true });
  await using host = await up(disk, "uefi");
  const memory = await readMemory(host);
  console.log(memoryTable(memory));
  assert(memory.forGuestsMiB >= GUESTS_MIB, memoryTable(memory));
  await assertNoProblem(host);
  await powerOff(host);
});

Deno.test("the image starts by a BIOS, from a disk and from a USB stick", async () => {
  await using disk = await ApplianceDisk.make({ bare: true });
  {
    await using host = await up(disk, "bios", "sata");
    assertMatch(await host.ask<string>("read", "/proc/cmdline"), / denovisor\.part=[0-9a-f-]{36} /);
    assertMatch(await host.ask<string>("read", "/proc/mounts"), /^\/dev\/md0 \/data xfs /m);
    const memory = await readMemory(host);
    console.log(memoryTable(memory));
    assert(memory.forGuestsMiB >= GUESTS_MIB, memoryTable(memory));
    await assertNoProblem(host);
    await powerOff(host);
  }
  await using host = await up(disk, "bios", "usb");
  await assertNoProblem(host);
  await powerOff(host);
});

Deno.test("under Secure Boot a signed image starts, and an unsigned one does not", async () => {
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: ".snakeoil-" });
  try {
    await using signed = await ApplianceDisk.make({
      bare: true,
      secureBoot: await snakeoilKey(folder),
    });
    await using host = await up(signed, "secure-boot");
    const variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    const bytes = await host.ask<number[]>("bytes", `/sys/firmware/efi/efivars/${variable}`);
    assertEquals(bytes.at(-1), 1, "the firmware enforces it");
    await assertNoProblem(host);
    await powerOff(host);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  await using unsigned = await ApplianceDisk.make({ bare: true });
  await using host = await Appliance.start(unsigned, { firmware: "secure-boot" });
  const { screen } = host.pc;
  await screen.waitFor(/Access Denied|Security Violation/i, 60 * host.patience);
  assertEquals(screen.lines.filter(({ text }) => /^Denovisor/.test(text)), []);
});

async function up(
  disk: ApplianceDisk,
  firmware: Firmware,
  diskBus?: "sata" | "usb",
): Promise<Appliance> {
  const host = await Appliance.start(disk, { firmware, diskBus, memoryMiB: MEMORY_MIB });
  try {
    const { screen } = host.pc;
    const first = await screen.waitFor(/^Denovisor \d/, 60 * host.patience);
    await screen.waitFor(/^Certificate/, 60 * host.patience);
    await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
    const from = `${firmware}, ${diskBus ?? "nvme"}`;
    console.log(
      `${from}: process 1 after ${first.at.toFixed(1)} s, console ${host.pc.seconds.toFixed(1)} s`,
    );
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

async function assertNoProblem(host: Appliance): Promise<void> {
  await host.until("the supervisor", () => host.process("supervisor"));
  const problems = host.pc.screen.lines.filter(({ text }) => text.startsWith("Problem"));
  assertEquals(problems, []);
}

async function powerOff(host: Appliance): Promise<void> {
  await host.pc.powerButton();
  assert(await host.pc.isOff(90 * host.patience), host.pc.screen.lastWords);
}
