/**
 * Guests' snapshots and forks in the console, before a made-up host.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import type { Guest } from "../../hypervisor/supervisor/api/schemas.ts";
import { newGuest } from "../../mgmt/testing/fake_data.ts";
import { demoTree } from "../../mgmt/testing/fake_life_data.ts";
import type { Visit } from "./browser.ts";
import { browserTest, shared } from "./shared_site.ts";

/** A page of a guest of the test's own, with the snapshots that demos have. */
async function visitGuest(
  guest: Partial<Guest> & { name: string },
  options: { isEmpty?: boolean; width?: number; colorScheme?: "light" | "dark" } = {},
): Promise<{ visit: Visit; id: string } & AsyncDisposable> {
  const { isEmpty = false, ...others } = options;
  const { api } = shared.site;
  const made = newGuest({ name: guest.name, kernel: "vmlinuz" }, guest);
  const { id } = made;
  api.guests.set(id, made);
  if (!isEmpty) api.lives.putTree(demoTree(made));
  const visit = await shared.site.visitSignedIn(others);
  await visit.page.goto(`/guests/${id}`);
  await visit.live();
  return {
    visit,
    id,
    async [Symbol.asyncDispose]() {
      await visit[Symbol.asyncDispose]();
      api.guests.delete(id);
    },
  };
}

const UP = { state: "running", startedAt: "2026-11-22T17:40:12.345Z" } as const;

browserTest("a snapshot is taken of a guest that runs, and the guest is after it", async () => {
  await using it = await visitGuest({ name: "snap", ...UP }, { isEmpty: true });
  const { visit, visit: { page }, id } = it;
  const { api } = shared.site;
  const panel = page.getByRole("region", { name: "Snapshots" });
  const dialog = page.getByRole("dialog");
  await panel.getByText("It has none").waitFor();
  await panel.getByRole("button", { name: "Take a snapshot" }).click();
  const name = dialog.getByLabel("Name");
  assert(/^\d{4}-\d\d-\d\d \d\d:\d\d UTC$/.test(await name.inputValue()));
  await name.fill(" ");
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await dialog.locator("#snapshot-name-error").waitFor();
  await visit.assertAccessible();
  await name.fill("first");
  await dialog.getByLabel("Description").fill("as it came");
  await dialog.getByLabel("The next one writes only what has changed").check();
  assertEquals(await dialog.getByLabel("Freeze its file systems").isChecked(), false);
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await page.getByText("Took the snapshot “first” of snap; it stood still for 22 ms").first()
    .waitFor();
  const row = panel.getByRole("listitem").filter({ hasText: "first" }).first();
  await row.getByText("with its memory").waitFor();
  await row.getByText("as it came").waitFor();
  await row.getByText("450 MiB of its own").waitFor();
  await row.getByText("Tracked since").waitFor();

  // Once more, without memory: it comes after the first one.
  await panel.getByRole("button", { name: "Take a snapshot" }).click();
  await dialog.getByLabel("Name").fill("first");
  await dialog.getByLabel("With its memory").uncheck();
  await dialog.getByLabel("The next one writes only").waitFor({ state: "detached" });
  assert(await dialog.getByLabel("Have it write its files out first").isChecked());
  await dialog.getByLabel("Guests are to be made of it").check();
  await dialog.getByText("When", { exact: true }).click();
  await dialog.getByLabel("It is taken").selectOption("Once its terminal has said a text");
  await dialog.getByLabel("The text").fill("");
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await dialog.locator("#snapshot-serial-error", { hasText: "Must not be empty" }).waitFor();
  await dialog.getByLabel("It is taken").selectOption("Now");
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await dialog.locator("#snapshot-name-error", { hasText: "one is called" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  await dialog.getByLabel("Name").fill("second");
  await page.keyboard.press("Enter");
  await panel.getByText("snap as it is now, after “second”").waitFor();
  await panel.getByText("Template").waitFor();
  const { snapshots: [first, second], current } = api.lives.tree(id);
  assertEquals([second.parent, second.memory, current], [first.id, false, second.id]);

  // On top of the first, and with file systems frozen; nothing is kept track of after it.
  await panel.getByRole("button", { name: "Take a snapshot" }).click();
  await dialog.getByLabel("Name").fill("third");
  await dialog.getByLabel("Freeze its file systems").check();
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await panel.getByText("3 MiB of its own · file systems frozen").waitFor();
  await panel.getByText("Tracked since").waitFor({ state: "detached" });
});

browserTest("a guest is reverted, after what it is now was kept", async () => {
  await using it = await visitGuest({ name: "back", ...UP });
  const { visit: { page }, id } = it;
  const { api } = shared.site;
  const panel = page.getByRole("region", { name: "Snapshots" });
  const dialog = page.getByRole("dialog");
  await panel.getByRole("button", { name: "Revert to web server" }).click();
  await dialog.getByText("What its disks hold now, and what it is doing, is lost").waitFor();
  const release = api.lives.work.hold();
  await dialog.getByRole("button", { name: "Revert" }).click();
  await dialog.getByText("Its snapshot is being taken").waitFor();
  const before = api.log.filter((it) => it.endsWith("/revert")).length;
  assertEquals(before, 0);
  release();
  await page.getByText("Reverted back to “web server”").first().waitFor();
  await panel.getByText("back as it is now, after “web server”").waitFor();
  const { snapshots, current } = api.lives.tree(id);
  assertEquals(snapshots.length, 5);
  assert(/, before web server$/.test(snapshots[4].name), snapshots[4].name);
  assertEquals(current, snapshots[1].id);

  // Without keeping it, and without having it run: it goes on from the memory later, or boots.
  await panel.getByRole("button", { name: "Revert to tried HTTP/3" }).click();
  await dialog.getByLabel("Take a snapshot of it as it is now").uncheck();
  await dialog.getByLabel("It runs afterwards").uncheck();
  await dialog.getByRole("button", { name: "Revert" }).click();
  await panel.getByText("Its next start goes on in the middle of tried HTTP/3").waitFor();
  const kept = panel.getByRole("button", { name: "Delete tried HTTP/3" });
  assertEquals(await kept.getAttribute("aria-disabled"), "true");
  await panel.getByRole("button", { name: "Boot instead" }).click();
  await panel.getByText("Its next start goes on").waitFor({ state: "detached" });
  assertEquals(api.lives.tree(id).snapshots.length, 5);
});

browserTest("a snapshot that fails keeps its guest from being reverted", async () => {
  await using it = await visitGuest({ name: "stays", ...UP });
  const { visit: { page }, id } = it;
  const { api } = shared.site;
  const current = api.lives.tree(id).current;
  const release = api.lives.work.hold();
  await page.getByRole("button", { name: "Revert to fresh install" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revert" }).click();
  await page.getByText("Its snapshot is being taken").waitFor();
  api.lives.work.put(api.lives.tasks[0].id, { state: "failed", error: "The disk is full" });
  await page.getByText("The snapshot of stays failed: The disk is full").first().waitFor();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assertEquals(api.lives.tree(id).current, current);
  release();
});

browserTest("snapshots are renamed and deleted, and others tell of theirs", async () => {
  await using it = await visitGuest({ name: "named" });
  const { visit, visit: { page }, id } = it;
  const { api } = shared.site;
  const panel = page.getByRole("region", { name: "Snapshots" });
  const dialog = page.getByRole("dialog");
  await panel.getByRole("button", { name: "Change before the move" }).click();
  await dialog.getByLabel("Name").fill("web server");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.locator("#snapshot-name-error", { hasText: "the name is taken" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  await dialog.getByLabel("Name").fill("before it moved");
  await dialog.getByLabel("Guests are to be made of it").check();
  await dialog.getByRole("button", { name: "Save" }).click();
  await panel.getByText("named as it is now, after “before it moved”").waitFor();
  assertEquals(await panel.getByText("Template").count(), 2);

  await panel.getByRole("button", { name: "Delete web server" }).click();
  await dialog.getByText("Those that come after it stay").waitFor();
  await dialog.getByRole("button", { name: "Delete snapshot" }).click();
  await page.getByText("Deleted the snapshot “web server”").waitFor();
  // Both that came after it come after the one before it now.
  await panel.getByText("comes after fresh install").nth(1).waitFor();
  const tree = api.lives.tree(id);
  api.lives.putTree({ ...tree, snapshots: tree.snapshots.slice(0, 1), current: null });
  await panel.getByText("named as it is now", { exact: true }).waitFor();
  await panel.getByRole("button", { name: "Delete before it moved" }).waitFor({
    state: "detached",
  });
});

browserTest("a guest is forked, and the new ones are a click away", async () => {
  await using it = await visitGuest({ name: "source", ...UP });
  const { visit, visit: { page } } = it;
  const { api } = shared.site;
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Fork", exact: true }).click();
  await dialog.getByText("source runs on").waitFor();
  await dialog.getByLabel("How many").fill("257");
  await dialog.getByRole("button", { name: "Fork" }).click();
  await dialog.locator("#fork-count-error", { hasText: "Must be at most 256" }).waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("How many").fill("3");
  await dialog.getByLabel("Their network").selectOption("New cards");
  await dialog.getByLabel("Name of the new ones").fill("web");
  await dialog.getByRole("button", { name: "Fork" }).click();
  // There is a web-1 already.
  await dialog.locator("#fork-name-error", { hasText: "a guest is called" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  await dialog.getByLabel("Name of the new ones").fill("twin");
  await page.keyboard.press("Enter");
  const panel = page.getByRole("region", { name: "Under way" });
  await panel.getByText("Made 3 guests out of source; it stood still for 3.2 ms").waitFor();
  await visit.assertAccessible();
  await panel.getByRole("link", { name: "twin-2" }).click();
  await page.getByRole("heading", { level: 1, name: /twin-2/ }).getByText("Running").waitFor();

  // From a snapshot, and off.
  await page.goBack();
  await page.getByRole("button", { name: "Fork from fresh install" }).click();
  await dialog.getByText("has a copy of the disks, and boots").waitFor();
  assertEquals(await dialog.getByLabel("Their network").count(), 0);
  await dialog.getByLabel("They run at once").uncheck();
  await dialog.getByRole("button", { name: "Fork" }).click();
  await panel.getByRole("link", { name: "source-1" }).click();
  await page.getByRole("heading", { level: 1, name: /source-1/ }).getByText("Stopped").waitFor();
  // Clicks may be quicker than the terminals that pages had just begun to connect.
  visit.forgive(/WebSocket is closed before the connection is established/);
  for (const guest of [...api.guests.values()]) {
    if (/^(twin|source)-/.test(guest.name)) api.guests.delete(guest.id);
  }
});

browserTest("guests are created from a template", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  await page.goto("/guests/new");
  await visit.live();
  const form = page.getByRole("group", { name: "From a template" });
  await form.getByLabel("Template").selectOption({ index: 0 });
  await form.getByLabel("Name of the new ones").fill("from-template");
  await page.getByRole("button", { name: "Create from the template" }).click();
  await page.waitForURL((url) => url.pathname === "/");
  await page.getByRole("link", { name: "from-template" }).waitFor();
  shared.site.api.guests.delete(shared.site.guestNamed("from-template"));
});

browserTest("the page of a guest with snapshots fits a phone, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    await using it = await visitGuest({ name: `phone-${colorScheme}`, ...UP }, { colorScheme });
    const { visit, visit: { page }, id } = it;
    const { api } = shared.site;
    // As many branches as there are, and names as long as they may be.
    const { snapshots } = api.lives.tree(id);
    const many = Array.from({ length: 9 }, (_, i) => ({
      ...snapshots[1],
      id: `01ARZ3NDEKTSV4RRFFQ69G5F${i}0`,
      name: `${i} ${"w".repeat(62)}`,
      parent: i < 2 ? snapshots[0].id : `01ARZ3NDEKTSV4RRFFQ69G5F${i - 2}0`,
    }));
    const side = many.map((it) => ({ ...it, id: it.id.replace(/.$/, "1"), parent: it.id }));
    const all = [...snapshots, ...many, ...side];
    api.lives.putTree({ guest: id, snapshots: all, current: snapshots[3].id, base: all[5].id });
    await page.locator("[data-terminal=ready]").waitFor();
    await page.getByText("8 www").first().waitFor();
    for (const [width, height] of [[360, 740], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      await visit.assertFits();
      await visit.assertAccessible();
      await page.getByRole("button", { name: "Revert to web server" }).click();
      await page.getByRole("dialog").waitFor();
      await visit.assertFits();
      await visit.assertAccessible();
      await page.keyboard.press("Escape");
    }
  }
});
