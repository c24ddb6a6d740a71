/**
 * What the appliance leaves and does when it fails: its kernel, and process 1; and its screen's menu,
 * which is for who has no other way any more.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Crash, LogPage } from "../../hypervisor/supervisor/api/schemas.ts";
import { Appliance, ApplianceDisk } from "./appliance/host.ts";

Deno.test("a kernel that panics is in the crashes of the next start, and a hang ends in one", async (t) => {
  await using disk = await ApplianceDisk.make({ bare: true });
  let lastSeq = 0;
  {
    await using host = await Appliance.start(disk, { keepsVariables: true });
    await t.step("a watchdog is fed", () => hasWatchdog(host));
    await t.step("the log has what all rooms tell", async () => {
      // It answers before it says that it is ready.
      lastSeq = await host.until("records of all rooms", async () => {
        const { records, last } = await log(host, "limit=1000");
        const rooms = new Set(records.map(({ room }) => room));
        return ["boot", "kernel", "supervisor", "console"].every((it) => rooms.has(it))
          ? last
          : undefined;
      }, 60);
    });
    await t.step("the screen's menu opens a shell", () => useMenu(host));
    await t.step("its kernel panics", async () => {
      await host.ask("write", "/proc/sysrq-trigger c").catch(() => {});
      assert(await host.pc.isOff(60 * host.patience), host.pc.screen.lastWords);
    });
  }
  await using host = await Appliance.start(disk, { keepsVariables: true });
  await t.step("the crash is kept, and its room given back", async () => {
    const [crash] = await host.until("the crash", async () => {
      const list = await host.ask<Crash[]>("api", "GET /host/crashes");
      return list.length > 0 ? list : undefined;
    }, 60);
    assertEquals([crash.kind, crash.guest], ["kernel", null]);
    assertMatch(crash.title, /sysrq triggered crash/);
    assertEquals(await host.ask("names", "/run/denovisor/pstore"), []);
  });
  await t.step("the log goes on behind that of before", async () => {
    const old = await log(host, "after=0&limit=1");
    assertEquals(old.records[0].seq, 1);
    const { records: [newest] } = await log(host, "limit=1");
    assert(newest.seq > lastSeq / 2, `${newest.seq} after ${lastSeq}`);
  });
  await t.step("a process 1 that hangs is ended by the watchdog", async () => {
    await hasWatchdog(host);
    await host.ask("freeze");
    assertEquals(await host.pc.isOff(20), false, "it waits for a while");
    assert(await host.pc.isOff(60 * host.patience), "nothing restarted the host");
  });
});

function log(host: Appliance, query: string): Promise<LogPage> {
  return host.ask<LogPage>("api", `GET /host/log?${query}`);
}

async function hasWatchdog(host: Appliance): Promise<void> {
  await host.until("the supervisor's answer", async () => {
    const { last } = await log(host, "limit=1");
    return last > 0 ? true : undefined;
  }, 60);
  await host.until("a watchdog", async () => {
    const text = await host.ask<string>("read", "/sys/class/watchdog/watchdog0/state");
    return text.trim() === "active" ? text : undefined;
  }, 60);
}

async function useMenu(host: Appliance): Promise<void> {
  const shows = (pattern: RegExp) =>
    host.until(String(pattern), async () => {
      const text = await host.ask<string>("read", "/dev/vcs1");
      return pattern.test(text) ? text : undefined;
    });
  await shows(/Load .* on 2 CPUs/);
  await host.pc.type("ret");
  await shows(/Undo the last update \(there is no earlier system\)/);
  await host.pc.type("down", "down", "down", "down", "ret");
  await host.until("the shell", async () => {
    const text = await host.ask<string>("read", "/dev/vcs2");
    return text.includes("#") ? text : undefined;
  });
  await host.pc.type(..."touch", "spc", "slash", ..."tmp", "slash", "x", "ret");
  await host.until("what was typed", () => host.ask<string>("read", "/tmp/x"));
  await host.pc.type(..."exit", "ret");
  await shows(/Load /);
}
