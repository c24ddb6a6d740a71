/**
 * Guests' disks in the console, before the real supervisor.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { shareSupervisedSite, supervisedTest } from "./supervised_site.ts";

shareSupervisedSite();

supervisedTest("a disk is added to a guest that is off, changed and deleted", async (site) => {
  await site.host.image("disk", "debian.raw", 1024 * 1024);
  await using it = await site.visitGuest({ name: "off", disks: [{ sizeMiB: 2 }] });
  const { visit: { page }, visit, guest } = it;
  const panel = page.getByRole("region", { name: "Disks" });
  const dialog = page.getByRole("dialog");
  await panel.getByText("2 MiB").waitFor();
  await panel.getByRole("button", { name: "Add a disk" }).click();
  await dialog.getByLabel("Name").fill("Data!");
  await dialog.getByRole("button", { name: "Add disk" }).click();
  await dialog.locator("#disk-name-error", { hasText: "Must be 1 to 32" }).waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("Name").fill("disk");
  await dialog.getByLabel("Content").selectOption("debian.raw");
  await dialog.getByLabel("Cache").selectOption("direct");
  await dialog.getByText("Limits").click();
  await dialog.getByLabel("MiB at once after a pause").fill("8");
  await dialog.getByRole("button", { name: "Add disk" }).click();
  await dialog.locator("#rateLimit-bytesBurst-error", { hasText: "bytesPerSecond" }).waitFor();
  await dialog.getByLabel("MiB per second").fill("2.5");
  await dialog.getByRole("button", { name: "Add disk" }).click();
  // Only the host knows of the other one's name.
  await dialog.locator("#disk-name-error", { hasText: "has this name" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  await dialog.getByLabel("Name").fill("data");
  await page.keyboard.press("Enter");
  await page.getByText("Added disk data").waitFor();
  const card = panel.getByRole("listitem").filter({ hasText: "data" });
  await card.getByText("made from debian.raw · past the host’s cache · at most 2.5 MiB/s")
    .waitFor();
  const made = (await site.host.get(guest.id)).disks[1];
  assertEquals([made.cache, made.rateLimit], ["direct", {
    bytesPerSecond: 2.5 * 2 ** 20,
    bytesBurst: 8 * 2 ** 20,
  }]);

  await card.getByRole("button", { name: "Change disk data" }).click();
  await dialog.getByLabel("Size, MiB").fill("0");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.locator("#disk-size-error", { hasText: "Must be at least 1" }).waitFor();
  await dialog.getByLabel("Size, MiB").fill("5");
  await dialog.getByLabel("Read-only").check();
  await dialog.getByRole("button", { name: "Save" }).click();
  await card.getByText("5 MiB · made from debian.raw · read-only").waitFor();
  assertEquals(
    Deno.statSync(site.host.diskFile(await site.host.get(guest.id), 1)).size,
    5 * 2 ** 20,
  );

  await card.getByRole("button", { name: "Delete disk data" }).click();
  await dialog.getByRole("button", { name: "Delete disk data" }).click();
  await page.getByText("Deleted disk data").waitFor();
  await card.waitFor({ state: "detached" });
  assertEquals((await site.host.get(guest.id)).disks.length, 1);
});

supervisedTest(
  "a disk is plugged into a guest that runs, seen at work and unplugged",
  async (site) => {
    await using it = await site.visitGuest(
      { name: "on", disks: [{ sizeMiB: 2 }] },
      { started: true },
    );
    const { visit: { page }, guest } = it;
    const panel = page.getByRole("region", { name: "Disks" });
    await page.getByText("2 free ports to plug into").waitFor();
    const first = panel.getByRole("listitem").filter({ hasText: "In use" });
    const stays = first.getByRole("button", { name: "Unplug disk disk" });
    assertEquals(await stays.getAttribute("aria-disabled"), "true");
    await stays.focus();
    await first.getByText("it was there when the guest started").waitFor();
    // The pretended VMM's counters go on by a half as many writes as reads.
    await first.getByText(/MiB\/s/).first().waitFor();

    await panel.getByRole("button", { name: "Add a disk" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Size, MiB").fill("3");
    await dialog.getByRole("button", { name: "Add disk" }).click();
    const second = panel.getByRole("listitem").filter({ hasText: "disk-2" });
    await second.getByText("Plugged in").waitFor();
    await page.getByText("1 free port to plug into").waitFor();
    assertEquals(
      await second.getByRole("button", { name: "Delete disk disk-2" }).getAttribute(
        "aria-disabled",
      ),
      "true",
    );
    await second.getByRole("button", { name: "Change disk disk-2" }).click();
    await dialog.getByLabel("Size, MiB").fill("4");
    await dialog.getByLabel("Cache").selectOption("direct");
    await dialog.getByRole("button", { name: "Save" }).click();
    await second.getByText("applies at the guest’s next start").waitFor();
    await second.getByText("4 MiB").first().waitFor();

    await second.getByRole("button", { name: "Unplug disk disk-2" }).click();
    await second.getByText("Not in the running guest").waitFor();
    await second.getByText("has it from its next start on").waitFor();
    await second.getByRole("button", { name: "Plug in disk disk-2" }).click();
    await second.getByText("Plugged in", { exact: true }).waitFor();
    assertEquals((await site.host.get(guest.id)).freePorts, 1);
  },
);

supervisedTest("a disk that its guest clings to is pulled out", async (site) => {
  await using it = await site.visitGuest({ name: "cling", cmdline: "clings" }, { started: true });
  const { visit: { page } } = it;
  const panel = page.getByRole("region", { name: "Disks" });
  await panel.getByText("It has none").waitFor();
  await panel.getByRole("button", { name: "Add a disk" }).click();
  await page.getByRole("dialog").getByLabel("Size, MiB").fill("1");
  await page.keyboard.press("Enter");
  await panel.getByText("Plugged in").waitFor();
  await panel.getByRole("button", { name: "Unplug disk disk" }).click();
  await panel.getByText("Being unplugged").waitFor();
  await panel.getByRole("button", { name: "Pull out disk disk" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pull out" }).click();
  await panel.getByText("Not in the running guest").waitFor();
});

supervisedTest("the page of a guest with devices fits a phone, light and dark", async (site) => {
  const disks = Array.from(
    { length: 4 },
    (_, i) => ({ sizeMiB: 1 + i, name: `a-rather-long-name-${i}` }),
  );
  for (const colorScheme of ["light", "dark"] as const) {
    await using it = await site.visitGuest(
      { name: `phone-${colorScheme}`, disks, nets: [{}, {}] },
      { started: true, colorScheme, width: 360, height: 740 },
    );
    const { visit, visit: { page } } = it;
    await page.locator("[data-terminal=ready]").waitFor();
    await page.getByText(/MiB\/s/).first().waitFor();
    await visit.assertFits();
    await visit.assertAccessible();
    await page.setViewportSize({ width: 1280, height: 800 });
    await visit.assertFits();
    await visit.assertAccessible();
  }
});
