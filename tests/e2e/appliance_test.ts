/**
 * The life of the appliance on a PC, from its first boot on: one test, since a boot takes its time.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readTable } from "../../bootimg/disk/disk_table.ts";
import { SECTOR_BYTES } from "../../bootimg/disk/gpt.ts";
import {
  BIOS_NAME,
  BOOT_NAME,
  DATA_NAME,
  SLOT_NAMES,
  STATE_NAME,
} from "../../bootimg/disk/names.ts";
import { CONSOLE_UID } from "../../bootimg/services.ts";
import {
  CONFIRM_SECONDS,
  type HostNetwork,
} from "../../hypervisor/supervisor/api/network_schemas.ts";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { consoleAnswers } from "../../scripts/demo_pc/console_answers.ts";
import { openBrowser } from "../../scripts/demo_pc/chromium.ts";
import { walkThroughConsole } from "../../scripts/demo_pc/console_walk.ts";
import { DEMO_GUEST, GUEST_LOGIN } from "../../scripts/demo_pc/demo_guest.ts";
import { OUT } from "../../scripts/setup/checkout.ts";
import { Appliance, ApplianceDisk, HOST_NAME, type ProcessFacts } from "./appliance/host.ts";

Deno.test("the appliance boots, keeps its processes alive, and ends cleanly", async (t) => {
  await using disk = await ApplianceDisk.make();
  {
    await using host = await Appliance.start(disk);
    await firstBoot(t, host);
    await t.step("a network that cuts everybody off is undone", () => cutOff(host));
    await t.step("the power button shuts the guest and then the host down", () => powerOff(host));
  }
  await t.step("the disk has the data partition, finished", async () => {
    const table = await readTable(disk.path, (await Deno.stat(disk.path)).size / SECTOR_BYTES);
    const names = table!.partitions.map((it) => it.name);
    const loaders = [SLOT_NAMES.a, SLOT_NAMES.b, STATE_NAME, BIOS_NAME];
    assertEquals(names, [BOOT_NAME, "denovisor-import", DATA_NAME, ...loaders]);
  });
  await t.step("after the image was written anew, what was kept is found", async () => {
    await disk.flashAgain();
    await using host = await Appliance.start(disk);
    await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
    await host.until("the supervisor", () => host.process("supervisor"));
    await host.pc.screen.waitFor(/^Certificate/, 60 * host.patience);
    assertEquals(host.pc.screen.lines.filter((it) => it.text.startsWith("Set-up code")), []);
    assertEquals(host.pc.screen.lines.filter((it) => it.text.startsWith("Problem")), []);
    const name = await host.ask<string>("read", "/proc/sys/kernel/hostname");
    assertEquals(name.trim(), HOST_NAME, "the settings are kept, though their volume is gone");
    assertMatch(await host.ask<string>("read", "/proc/mounts"), /^\/dev\/md0 \/data xfs /m);
    await powerOff(host);
  });
});

async function firstBoot(t: Deno.TestContext, host: Appliance): Promise<void> {
  const { screen } = host.pc;
  let code = "";
  await t.step("the screen tells name, version, address, certificate and code", async () => {
    await screen.waitFor(/^Denovisor \d+\.\d+\.\d+$/, 60 * host.patience);
    await screen.waitFor(/^Console +https:\/\/10\.0\.2\.15\/$/, 60 * host.patience);
    code = (await screen.waitFor(/^Set-up code +(\S+)$/, 60 * host.patience)).match[1];
    await screen.waitFor(/^Certificate/, 60 * host.patience);
  });
  await t.step("the screen tells the mistake in the settings with its line", async () => {
    await screen.waitFor(/^Problem +denovisor\.yaml, line 2: timezone must be/, 60 * host.patience);
    const problems = screen.lines.filter((it) => it.text.startsWith("Problem"));
    assertEquals(problems.filter((it) => !it.text.includes("denovisor.yaml, line 2: ")), []);
  });
  await t.step("what is right in the settings is in force", async () => {
    const read = (path: string) => host.until(path, () => host.ask<string>("read", path));
    assertEquals((await read("/proc/sys/kernel/hostname")).trim(), HOST_NAME);
    assertMatch(await read("/proc/net/vlan/config"), /^eth0\.20 +\| 20 +\| eth0$/m);
    assertMatch(await read("/proc/net/fib_trie"), /198\.51\.100\.7/);
  });
  await t.step("the certificate that browsers get is the one on the screen", async () => {
    const presented = await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
    const shown = screen.lines.map((it) => it.text.trim()).filter((it) =>
      /^([0-9A-F]{2}:){15}[0-9A-F]{2}$/.test(it)
    );
    assertEquals(shown.slice(-2).join(":"), presented);
  });
  await t.step("the data partition is mounted, with what was asked of it", async () => {
    const mounts = await host.until("the agent", () => host.ask<string>("read", "/proc/mounts"));
    assertMatch(mounts, /^\/dev\/md0 \/data xfs \S*nosuid,nodev\S* /m);
  });
  await t.step("the console is not root, and its socket is its own", async () => {
    const console = await host.until("the console", () => host.process("console"));
    assertEquals(console.uid, CONSOLE_UID);
    type Facts = { mode: number; uid: number; isSocket: boolean };
    // The console's process may be there before the supervisor's API is.
    const facts = (path: string) => host.until(path, () => host.ask<Facts>("stat", path));
    const own = await facts("/run/denovisor/console/api.sock");
    assertEquals([own.isSocket, own.uid, own.mode & 0o007], [true, CONSOLE_UID, 0]);
    const local = await facts("/run/denovisor/supervisor.sock");
    assertEquals([local.isSocket, local.uid, local.mode & 0o077], [true, 0, 0]);
  });
  await t.step("a process that loses its parent is reaped by PID 1", async () => {
    await host.ask("orphan");
    await host.until("no dead child of PID 1", async () => {
      const all = await host.ask<ProcessFacts[]>("processes");
      const waiting = all.some((it) => it.command.includes("sleep 0.2"));
      const dead = all.some((it) => it.parent === 1 && it.state === "Z");
      return waiting || dead ? undefined : true;
    });
  });
  await t.step("a new user sets the password, starts the guest and uses it", async () => {
    const pictures = `${OUT}/e2e`;
    await Deno.mkdir(pictures, { recursive: true });
    const browser = await openBrowser();
    try {
      const answer = await walkThroughConsole(browser, {
        url: `https://localhost:${host.port}/`,
        setupCode: code,
        password: crypto.randomUUID(),
        guest: DEMO_GUEST,
        login: GUEST_LOGIN,
        pictures,
        onStage: () => {},
        patience: host.patience,
      });
      assertMatch(answer, /^Linux guest 6\.12\./);
    } finally {
      await browser.close();
    }
  });
  await t.step(
    "a supervisor and a console that die are started again; the guest runs on",
    async () => {
      // One VMM is the guest's, another may be waiting for one and ends with the supervisor.
      const run = async () => {
        const [guest] = await host.ask<Guest[]>("api", "GET /guests");
        return guest.state === "running" ? guest.startedAt : undefined;
      };
      const startedAt = await host.until("the guest", run);
      for (const name of ["supervisor", "console"]) {
        const before = await host.until(name, () => host.process(name));
        await host.ask("kill", before.pid);
        const after = await host.until(`another ${name}`, async () => {
          const found = await host.process(name);
          return found && found.pid !== before.pid ? found : undefined;
        });
        assertEquals(after.uid, before.uid);
      }
      await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
      assertEquals(await host.until("the guest", run), startedAt);
      const all = await host.ask<ProcessFacts[]>("processes");
      assert(all.some((it) => it.command.includes("/app/vmm.js") && it.parent === 1));
    },
  );
}

/** Gives the host an address by which this machine does not reach it, and tells nobody. */
async function cutOff(host: Appliance): Promise<void> {
  const { network } = await host.ask<HostNetwork>("api", "GET /host/network");
  const bridges = network.bridges.map((it) =>
    it.name === "br0"
      ? { ...it, ipv4: { method: "static", address: "10.0.2.99/24", gateway: "10.0.2.2" } }
      : it
  );
  const body = JSON.stringify({ ...network, bridges });
  // The answer goes by the network that is changed, so that a slow one may be lost.
  await host.ask("api", `PUT /host/network ${body}`).catch(() => {});
  const { screen } = host.pc;
  await screen.waitFor(/^Console +https:\/\/10\.0\.2\.99\/$/, 60 * host.patience);
  const after = await host.until("the old network", async () => {
    const told = await host.ask<HostNetwork>("api", "GET /host/network");
    return told.trial === null ? told : undefined;
  }, 2 * CONFIRM_SECONDS);
  assertEquals(after.network, network);
  assertMatch(after.problem!, /nobody confirmed it/);
  await consoleAnswers({ port: host.port, limitSeconds: 60 * host.patience });
}

async function powerOff(host: Appliance): Promise<void> {
  await host.pc.powerButton();
  assert(await host.pc.isOff(90 * host.patience), host.pc.screen.lastWords);
  const words = host.pc.screen.lastWords;
  assert(words.includes("Power off"), words);
}
