/**
 * The host's own network in the console, before a made-up host.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { Visit } from "./browser.ts";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

const SSH_KEY =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOKQykjHkzFHdcQocSMuj/hHgQZ5BQTzQx2eRobUwAoi me@home";

async function openNetwork(visit: Visit): Promise<void> {
  await visit.page.keyboard.press("g");
  await visit.page.keyboard.press("s");
  await visit.page.getByRole("heading", { level: 1, name: "Network" }).waitFor();
  // What is clicked before is lost.
  await visit.live();
}

browserTest("a network is changed by keyboard, tried, and kept", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/settings/network");
  await visit.live();
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Change br0" }).focus();
  await page.keyboard.press("Enter");
  await dialog.getByLabel("IPv4 address", { exact: true }).selectOption("static");
  const address = dialog.getByLabel("IPv4 address and prefix");
  await address.fill("192.0.2.7");
  await dialog.getByLabel("IPv4 gateway").fill("198.51.100.1");
  await page.keyboard.press("Enter");
  await dialog.getByText("Must be an IPv4 address and its prefix").waitFor();
  assertEquals(await address.evaluate((it) => it === document.activeElement), true);
  await address.fill("192.0.2.7/24");
  await page.keyboard.press("Enter");
  await dialog.getByText("Must be in the network of 192.0.2.7/24").waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("IPv4 gateway").fill("192.0.2.1");
  await dialog.getByLabel("Name servers").fill("192.0.2.1, 2001:db8::53");
  await page.keyboard.press("Enter");
  const trial = page.getByRole("region", { name: "A change that is tried" });
  await trial.getByText(/^[1-5]\d s left$/).waitFor();
  await visit.assertAccessible();
  assertEquals(site.api.network.kept.bridges[0].ipv4.method, "dhcp", "nothing is kept yet");
  await trial.getByRole("button", { name: "Keep this network" }).focus();
  await page.keyboard.press("Enter");
  await trial.waitFor({ state: "detached" });
  await page.getByRole("row").filter({ hasText: "br0" }).getByText("by 192.0.2.1").waitFor();
  const { bridges: [{ ipv4 }], dns } = site.api.network.kept;
  assertEquals([ipv4.address, dns], ["192.0.2.7/24", ["192.0.2.1", "2001:db8::53"]]);
});

browserTest("a bridge is added and undone by itself, and removed by hand", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await openNetwork(visit);
  const dialog = page.getByRole("dialog");
  const row = page.getByRole("row").filter({ hasText: "br1" });
  const trial = page.getByRole("region", { name: "A change that is tried" });
  const add = async () => {
    await page.getByRole("button", { name: "Add a bridge" }).click();
    await dialog.getByLabel("Uplink").selectOption("any");
    await dialog.getByLabel("VLAN").fill("20");
    await dialog.getByRole("button", { name: "Try it" }).click();
    await row.getByText("20").waitFor();
  };
  site.api.network.trialSeconds = 1;
  await add();
  await page.getByRole("alert").getByText("nobody confirmed it").waitFor();
  assertEquals(await row.count(), 0);
  site.api.network.trialSeconds = 60;
  await add();
  await trial.getByRole("button", { name: "Keep this network" }).click();
  await trial.waitFor({ state: "detached" });
  await row.getByRole("button", { name: "Remove br1" }).click();
  await dialog.getByRole("button", { name: "Remove bridge" }).click();
  await row.waitFor({ state: "detached" });
  await trial.getByRole("button", { name: "Undo" }).click();
  await row.waitFor();
  assertEquals(site.api.network.kept.bridges.map(({ name }) => name), ["br0", "br1"]);
});

browserTest("an SSH key is let in, and taken away again", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/settings/network");
  await visit.live();
  const ssh = page.getByRole("region", { name: "SSH" });
  const dialog = page.getByRole("dialog");
  await ssh.getByText("Off").waitFor();
  await ssh.getByRole("button", { name: "Add an SSH key" }).focus();
  await page.keyboard.press("Enter");
  const field = dialog.getByLabel("Public keys, one a line");
  await field.fill(`command="sh" ${SSH_KEY}`);
  await dialog.getByRole("button", { name: "Let in" }).click();
  await dialog.getByText("Must be a public key").waitFor();
  await visit.assertAccessible();
  await field.fill(`${SSH_KEY}\n`);
  await dialog.getByRole("button", { name: "Let in" }).click();
  await ssh.getByRole("rowheader", { name: /^me@home/ }).waitFor();
  await ssh.getByText("On", { exact: true }).waitFor();
  assertEquals(site.api.ssh.keys, [SSH_KEY]);
  for (const [width, height] of [[360, 740], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    await visit.assertFits();
    await visit.assertAccessible();
  }
  await ssh.getByRole("button", { name: "Remove me@home" }).click();
  await dialog.getByText("It is the last one").waitFor();
  await dialog.getByRole("button", { name: "Remove key" }).click();
  await ssh.getByText("Off").waitFor();
  assertEquals(site.api.ssh.keys, []);
});

browserTest("the network fits a phone, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    await using site = await Site.open(shared.bench);
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    const { page } = visit;
    await page.goto("/settings/network");
    await visit.live();
    const dialog = page.getByRole("dialog");
    const each = async () => {
      for (const [width, height] of [[360, 740], [1280, 800]]) {
        await page.setViewportSize({ width, height });
        await visit.assertFits();
        await visit.assertAccessible();
      }
    };
    await page.getByRole("button", { name: "Change br0" }).click();
    await dialog.getByLabel("IPv6 address", { exact: true }).selectOption("static");
    await each();
    await dialog.getByLabel("IPv6 address and prefix").fill("2001:db8:1:2:3:4:5:6/64");
    await dialog.getByRole("button", { name: "Try it" }).click();
    await page.getByRole("region", { name: "A change that is tried" }).waitFor();
    await each();
  }
});
