/**
 * The console's page of the host's disks, before a made-up host.
 */
import { assertEquals } from "@std/assert";
import { demoStorage } from "../../mgmt/testing/fake_storage.ts";
import type { Visit } from "./browser.ts";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

const DISK = "S6Z1NJ0W400131";

async function openStorage(visit: Visit): Promise<void> {
  await visit.page.goto("/storage");
  await visit.live();
}

browserTest("a disk is added to the pool by the keyboard, once its number was typed", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/");
  await visit.live();
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.getByRole("heading", { name: "Storage" }).waitFor();
  await visit.assertAccessible();
  const disk = page.getByRole("region", { name: "nvme1n1" });
  await disk.getByRole("button", { name: "Add to the pool" }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Nothing is on nvme1n1").waitFor();
  const number = dialog.getByLabel("Its serial number");
  await number.fill("S6Z1NJ0W400127");
  await page.keyboard.press("Enter");
  await dialog.getByText(`Must be ${DISK}`).waitFor();
  assertEquals(await number.evaluate((it) => it === document.activeElement), true);
  assertEquals(site.api.storage.told, demoStorage(), "nothing was done");
  await visit.assertAccessible();
  await number.fill(DISK);
  await page.keyboard.press("Enter");
  const pool = page.getByRole("region", { name: "The pool" });
  await pool.getByText("Being brought in step", { exact: true }).waitFor();
  await pool.getByRole("progressbar").waitFor();
  await visit.assertAccessible();
});

browserTest(
  "what is lost is told before a disk is erased, and a disk that changed is not",
  async () => {
    await using site = await Site.open(shared.bench);
    await using visit = await site.visitSignedIn();
    const { page } = visit;
    await openStorage(visit);
    const disk = page.getByRole("region", { name: "sda" });
    await disk.getByRole("button", { name: "Install on it" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("ext4 file system “photos”").waitFor();
    await dialog.getByLabel("Its serial number").fill("WD-WX12D90K3YNV");
    // What is shown is what was confirmed: the host refuses what is another by now.
    const told = site.api.storage.told;
    const disks = told.disks.map((it) => it.name === "sda" ? { ...it, revision: "another" } : it);
    Object.assign(told, { disks });
    await dialog.getByRole("button", { name: "Erase and install" }).click();
    await dialog.getByText("it has changed since it was listed").waitFor();
    await visit.expectComplaint(/422/);
  },
);

browserTest("an installation is a task like others, on the page and on every other", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const goOn = site.api.lives.work.hold();
  await openStorage(visit);
  const disk = page.getByRole("region", { name: "nvme1n1" });
  await disk.getByRole("button", { name: "Install on it" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Its serial number").fill(DISK);
  await dialog.getByRole("button", { name: "Erase and install" }).click();
  const panel = page.getByRole("region", { name: "Installation" });
  await panel.getByText("Copying the system").waitFor();
  await visit.assertAccessible();
  await page.getByRole("button", { name: "Installing this host" }).waitFor();
  goOn();
  await page.getByText(`Installed on nvme1n1 (${DISK})`).first().waitFor();
  await panel.waitFor({ state: "detached" });
});

browserTest("a disk that fails is told on every page, and is taken out or replaced", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { storage } = site.api;
  const { pool } = storage.told;
  storage.put({
    ...storage.told,
    pool: { ...pool, members: [...pool.members, { disk: "nvme1n1", state: "in-sync" }] },
  });
  await page.goto("/images");
  await visit.live();
  storage.fail("nvme1n1");
  await page.getByRole("link", { name: "An alarm of a disk" }).click();
  await page.getByRole("alert").getByText("replace it").waitFor();
  await visit.assertAccessible();
  const shown = page.getByRole("region", { name: "The pool" });
  await shown.getByRole("button", { name: "Take out nvme1n1" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take it out" }).click();
  await shown.getByText("A second one can be added at any time").waitFor();
  await page.getByRole("alert").waitFor({ state: "detached" });
});

browserTest("the two disks are compared at once, each month, or never", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { storage } = site.api;
  const { pool } = storage.told;
  const last = { at: "2026-11-01T02:00:00Z", mismatchedSectors: 0 };
  storage.put({
    ...storage.told,
    pool: {
      ...pool,
      members: [...pool.members, { disk: "nvme1n1", state: "in-sync" }],
      scrub: { ...pool.scrub, last },
    },
  });
  await openStorage(visit);
  const shown = page.getByRole("region", { name: "The pool" });
  await shown.getByText("Compared on 2026-11-01 02:00 UTC: they were the same").waitFor();
  await shown.getByRole("button", { name: "Compare now" }).click();
  await shown.getByText("Comparing the disks").first().waitFor();
  await shown.getByRole("button", { name: "Stop comparing" }).click();
  await shown.getByRole("button", { name: "Compare now" }).waitFor();
  await shown.getByRole("button", { name: "Do not compare each month" }).click();
  await shown.getByText("They are not compared by themselves").waitFor();
  assertEquals(storage.told.pool.scrub.schedule, "off");
});

browserTest("the disks fit a phone, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    await using site = await Site.open(shared.bench);
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    const { page } = visit;
    await openStorage(visit);
    for (const [width, height] of [[360, 740], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      await visit.assertFits();
      await visit.assertAccessible();
      if (Deno.env.get("PICTURES")) {
        const path = `${Deno.env.get("PICTURES")}/storage-${colorScheme}-${width}.png`;
        await page.screenshot({ path, fullPage: true });
      }
    }
  }
});
