/**
 * Guests' network cards in the console, before the real supervisor.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { shareSupervisedSite, supervisedTest } from "./supervised_site.ts";

shareSupervisedSite();

supervisedTest("a card is added, plugged in, limited, unplugged and deleted", async (site) => {
  await using it = await site.visitGuest({ name: "web" }, { started: true });
  const { visit, visit: { page }, guest } = it;
  const panel = page.getByRole("region", { name: "Network cards" });
  const dialog = page.getByRole("dialog");
  await panel.getByRole("heading", { name: guest.nets[0].mac }).waitFor();
  await panel.getByRole("button", { name: "Add a card" }).click();
  await dialog.getByLabel("MAC address").fill("53:00:00:00:00:01");
  await dialog.getByLabel("Largest packet").fill("67");
  await dialog.getByRole("button", { name: "Add network card" }).click();
  await dialog.locator("#net-mac-error", { hasText: "unicast MAC address" }).waitFor();
  await dialog.locator("#net-mtu-error", { hasText: "Must be at least 68" }).waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("MAC address").fill(guest.nets[0].mac);
  await dialog.getByLabel("Largest packet").fill("1400");
  await dialog.getByRole("button", { name: "Add network card" }).click();
  await dialog.locator("#net-mac-error", { hasText: "another network card has it" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  const mac = "52:54:00:00:00:42";
  await dialog.getByLabel("MAC address").fill(mac.toUpperCase());
  await dialog.getByRole("button", { name: "Add network card" }).click();
  const card = panel.getByRole("listitem").filter({ hasText: mac });
  await card.getByText("Plugged in", { exact: true }).waitFor();
  await card.getByText("MTU 1400").waitFor();
  await card.getByText(/packets/).waitFor();

  await card.getByRole("button", { name: `Change network card ${mac}` }).click();
  await dialog.getByLabel("The cable is plugged in").uncheck();
  assertEquals(await dialog.getByLabel("In a hot-plug port").isChecked(), true);
  await dialog.getByText("Limits of what it sends").click();
  await dialog.getByRole("group").filter({ hasText: "Limits of what it sends" })
    .getByLabel("MiB per second").fill("1");
  await dialog.getByRole("button", { name: "Save" }).click();
  await card.getByText("cable pulled").waitFor();
  await card.getByText("sends at most 1 MiB/s").waitFor();
  assertEquals(await card.getByText("next start").count(), 0);
  const { net1 } = await site.host.processFor(guest.id).devices();
  assertEquals([net1.linkUp, net1.sendLimit], [false, { bytesPerSecond: 2 ** 20 }]);

  await card.getByRole("button", { name: `Unplug network card ${mac}` }).click();
  await card.getByText("Not in the running guest").waitFor();
  await card.getByRole("button", { name: `Delete network card ${mac}` }).click();
  await dialog.getByRole("button", { name: `Delete network card ${mac}` }).click();
  await card.waitFor({ state: "detached" });
});

supervisedTest("a guest is paused and goes on, whoever paused it", async (site) => {
  await using it = await site.visitGuest({ name: "still" }, { started: true });
  const { visit: { page }, guest } = it;
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  await button("Pause").click();
  await page.getByRole("heading", { level: 1 }).getByText("Paused").waitFor();
  await page.getByText("It was told to pause. It goes on where it was").waitFor();
  assertEquals(await button("Stop").count(), 0);
  await button("Force off").waitFor();
  await button("Resume").click();
  await page.getByRole("heading", { level: 1 }).getByText("Running").waitFor();
  await site.host.type(guest.id, "full\n");
  await page.getByText("The disk has no room on the host. It goes on where it was").waitFor();
  await site.host.type(guest.id, "room\n");
  await page.getByRole("heading", { level: 1 }).getByText("Running").waitFor();
});

supervisedTest(
  "memory is given back and added by sliders; settings wait for a start",
  async (site) => {
    await using it = await site.visitGuest(
      { name: "mem", memoryMiB: 512, memory: { hotplugMiB: 1024 } },
      { started: true },
    );
    const { visit, visit: { page }, guest } = it;
    const panel = page.getByRole("region", { name: "Memory" });
    await panel.getByText("used 256 MiB").waitFor();
    const give = panel.getByLabel("Give back to the host");
    await give.focus();
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowRight");
    await site.host.until(guest.id, ({ memory }) => memory.balloonMiB === 32);
    await panel.getByText("given back 32 MiB").waitFor();
    const add = panel.getByLabel("Memory added while it runs");
    await add.focus();
    await page.keyboard.press("End");
    await site.host.until(guest.id, ({ memory }) => memory.requestedMiB === 1024);

    await page.getByRole("button", { name: "Change the settings" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("all else applies at its next start").waitFor();
    await dialog.getByText("Processors").click();
    await dialog.getByLabel("Sockets, cores, threads").fill("lots");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.locator("#set-topology-error", { hasText: "such as 1x4x2" }).waitFor();
    await dialog.getByLabel("Sockets, cores, threads").fill("1x3x1");
    await dialog.getByLabel("vCPUs").fill("2");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.locator("#set-topology-error", { hasText: "must multiply to 2" }).waitFor();
    await visit.expectComplaint(/status of 400/);
    await dialog.getByLabel("Sockets, cores, threads").fill("1x2x1");
    await dialog.getByLabel("Model").selectOption("x86-64-v3");
    await dialog.getByLabel("It may run guests of its own").check();
    await visit.assertAccessible();
    await dialog.getByRole("button", { name: "Save" }).click();
    const settings = page.getByRole("region", { name: "Settings" });
    await settings.getByText(
      "At its next start changes: vCPUs, processor model, topology, nested guests",
    ).waitFor();
    const { cpu, cpus } = await site.host.get(guest.id);
    assertEquals([cpus, cpu.model, cpu.topology, cpu.nested], [
      2,
      "x86-64-v3",
      { sockets: 1, cores: 2, threads: 1 },
      true,
    ]);
  },
);

supervisedTest(
  "a guest with an agent tells its addresses, at its page and in the list",
  async (site) => {
    await using it = await site.visitGuest({ name: "told", cmdline: "agent" }, { started: true });
    const { visit: { page }, guest } = it;
    const settings = page.getByRole("region", { name: "Settings" });
    await settings.getByText("192.168.1.77").waitFor();
    await settings.getByText("2001:db8::7").waitFor();
    await settings.getByText("Debian GNU/Linux 13 (trixie)").waitFor();
    await page.getByRole("link", { name: "Guests", exact: true }).first().click();
    const row = page.getByRole("row").filter({ hasText: "told" });
    await row.getByText("192.168.1.77 · Debian GNU/Linux 13 (trixie)").waitFor();
    await site.host.stop(guest.id);
    await row.getByText("Stopped").waitFor();
  },
);
