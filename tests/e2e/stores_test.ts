/**
 * Storage that other hosts see too in the console, before a made-up host.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

const STORES = [
  { name: "nas", directory: "/mnt/nas", problem: null, sizeMiB: 4096, freeMiB: 1024 },
  {
    name: "san",
    directory: "/mnt/san",
    problem: '"/mnt/san" does not answer',
    sizeMiB: 0,
    freeMiB: 0,
  },
];

browserTest("a host's stores, and what is wrong with one", async () => {
  await using site = await Site.open(shared.bench, { host: { stores: STORES } });
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.getByRole("img", { name: "Store nas in use: 3 GiB of 4 GiB" }).waitFor();
  await page.getByRole("alert").getByText('"/mnt/san" does not answer').waitFor();
  await visit.assertAccessible();
});

browserTest("a disk is made on a store, and stays there when its guest moves", async () => {
  await using site = await Site.open(shared.bench, { host: { stores: STORES } });
  for (const colorScheme of ["light", "dark"] as const) {
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    const { page } = visit;
    await page.goto(`/guests/${site.guestNamed("web-1")}`);
    await visit.live();
    const panel = page.getByRole("region", { name: "Disks" });
    const dialog = page.getByRole("dialog");
    await panel.getByRole("button", { name: "Add a disk" }).click();
    await dialog.getByText("GiB of the host’s are free").waitFor();
    const where = dialog.getByLabel("Where it is");
    assertEquals(await where.locator("option").allTextContents(), [
      ...["This host", "Store nas", "Store san"],
    ]);
    assertEquals(await where.locator("option[value=san]").isDisabled(), true);
    await dialog.getByText("san cannot be used").waitFor();
    await where.selectOption("nas");
    await dialog.getByText("1 GiB of the store’s are free").waitFor();
    await dialog.getByLabel("Name").fill(`shared-${colorScheme}`);
    await dialog.getByLabel("Size, MiB").fill("8");
    await visit.assertAccessible();
    await dialog.getByRole("button", { name: "Add disk" }).click();
    const card = panel.getByRole("listitem").filter({ hasText: `shared-${colorScheme}` });
    await card.getByText("8 MiB · on store nas").waitFor();
    await visit.assertFits();
    await page.getByRole("button", { name: "Move", exact: true }).click();
    await dialog.getByText(`shared-${colorScheme} (store nas)`).waitFor();
    await dialog.getByText("if that host has the store too").waitFor();
    await visit.assertAccessible();
  }
});

browserTest(
  "a new guest's first disk is made on a store; without stores nobody is asked",
  async () => {
    await using site = await Site.open(shared.bench, { host: { stores: STORES.slice(0, 1) } });
    await using visit = await site.visitSignedIn();
    const { page } = visit;
    await page.goto("/guests/new");
    await visit.live();
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("on-the-nas");
    await page.getByLabel("Content").selectOption({ label: "Empty disk" });
    await page.getByLabel("Where it is").selectOption("nas");
    await page.getByText("it stays where it is").waitFor();
    await page.getByText("1 GiB of the store’s are free").waitFor();
    await page.getByLabel("Size, MiB").fill("16");
    const sent = page.waitForRequest((it) =>
      it.method() === "POST" && it.url().endsWith("/guests")
    );
    await page.getByRole("button", { name: "Create guest" }).click();
    assertEquals((await sent).postDataJSON().disks, [{ image: null, sizeMiB: 16, store: "nas" }]);
    await page.getByText("16 MiB · on store nas").waitFor();
    await using other = await shared.site.visitSignedIn();
    await other.page.goto("/guests/new");
    await other.live();
    await other.page.getByLabel("Content").waitFor();
    assertEquals(await other.page.getByLabel("Where it is").count(), 0);
  },
);
