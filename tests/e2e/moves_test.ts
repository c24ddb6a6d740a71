/**
 * Guests that move in the console, tasks, and other hosts, before a made-up host.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { newMove } from "../../mgmt/testing/fake_life_data.ts";
import { PEER_CODE } from "../../mgmt/testing/fake_lives.ts";
import type { Visit } from "./browser.ts";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

async function openGuest(visit: Visit, site: Site, name: string): Promise<void> {
  await visit.page.goto(`/guests/${site.guestNamed(name)}`);
  await visit.live();
}

/** Copies a guest's memory, as far as half of it. */
function copyHalf(site: Site): void {
  const { work, tasks: [{ id }] } = site.api.lives;
  for (let i = 1; i <= 5; i++) work.copied(id, { share: i / 10, atMs: 500 * i });
}

browserTest("a guest moves to another host, seen on its page and after a reload", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { api } = site;
  await openGuest(visit, site, "web-1");
  await page.getByRole("button", { name: "Move", exact: true }).click();
  const dialog = page.getByRole("dialog");
  assert(await dialog.getByRole("radio", { name: /basement-2/ }).isChecked());
  assert(await dialog.getByRole("radio", { name: /garage/ }).isDisabled());
  await dialog.getByText("It does not answer at 192.168.1.30").waitFor();
  await dialog.getByRole("radio", { name: /loft/ }).check();
  await dialog.getByText("It has less memory free than the guest has").waitFor();
  await dialog.getByText("It has another CPU").waitFor();
  await dialog.getByText("More", { exact: true }).click();
  await dialog.getByText("what it has not written to its disks is lost").waitFor();
  await dialog.getByText("It moves with its disks and snapshots").waitFor();
  // Its snapshots are left out only where that is said twice.
  const without = dialog.getByRole("checkbox", { name: "Leave its 4 snapshots out" });
  await without.check();
  await dialog.getByRole("button", { name: "Move" }).click();
  await dialog.locator("#move-confirm-error", { hasText: "Must be web-1" }).waitFor();
  await visit.assertAccessible();
  await without.uncheck();
  await dialog.getByLabel("Allowed pause, ms").fill("0");
  await dialog.getByRole("button", { name: "Move" }).click();
  await dialog.locator("#move-allowedPauseMs-error", { hasText: "at least 1" }).waitFor();
  await dialog.getByLabel("Allowed pause, ms").fill("250");
  await dialog.getByLabel("At most, MiB per second").fill("0.5");
  assertEquals(await dialog.getByLabel("Compress its memory").inputValue(), "auto");
  await dialog.getByLabel("Compress its memory").selectOption("Always");
  await dialog.getByRole("button", { name: "Move" }).click();
  await dialog.getByText("has too little memory free").waitFor();
  await visit.expectComplaint(/status of 422/);
  await dialog.getByRole("radio", { name: /basement-2/ }).check();
  const release = api.lives.work.hold();
  const sent = page.waitForRequest((it) => it.method() === "POST" && it.url().endsWith("/move"));
  await dialog.getByRole("button", { name: "Move" }).click();
  const body = (await sent).postDataJSON();
  assertEquals(
    [body.allowedPauseMs, body.bytesPerSecond, body.slowDown, body.postCopy, body.withoutSnapshots],
    [250, 2 ** 19, true, false, false],
  );
  assertEquals(body.compress, "zstd");

  const panel = page.getByRole("region", { name: "Under way" });
  await panel.getByRole("heading", { name: "Moving to basement-2" }).waitFor();
  await panel.getByText("Copying memory").waitFor();
  copyHalf(site);
  await panel.getByText("1 GiB of 2 GiB").waitFor();
  await panel.getByText("1 GiB of memory, compressed to 427 MiB: 2.4 to 1").waitFor();
  await panel.getByText("left to copy 1 GiB").waitFor();
  await panel.getByText(/changed meanwhile [\d.]+ MiB\/s/).waitFor();
  await page.getByRole("button", { name: "Moving web-1, 50 %" }).waitFor();
  const fork = page.getByRole("button", { name: "Fork", exact: true });
  assertEquals(await fork.getAttribute("aria-disabled"), "true");
  await fork.focus();
  await page.getByText("The move of web-1 is under way").first().waitFor();
  await visit.assertAccessible();
  const line = () => panel.locator("path.line-0").first().getAttribute("d");
  const drawn = await line();

  // All of it is there again, with the chart's beginning.
  await page.reload();
  await visit.live();
  await panel.getByText("left to copy 1 GiB").waitFor();
  assertEquals(await line(), drawn);
  await page.getByRole("button", { name: "Moving web-1, 50 %" }).waitFor();
  release();
  await page.getByRole("heading", { level: 1, name: "web-1 has moved" }).waitFor();
  await page.getByText("Moved web-1 to basement-2; it stood still for 142 ms").first().waitFor();
  // The console's socket to the guest's serial port went with it.
  visit.forgive(/WebSocket/);
});

browserTest("a task is cancelled, in the list that every page has", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { work } = site.api.lives;
  await openGuest(visit, site, "db-1");
  const release = work.hold();
  await page.getByRole("button", { name: "Upgrade the VMM" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Upgrade" }).click();
  const panel = page.getByRole("region", { name: "Under way" });
  await panel.getByText("Starting a VMM").waitFor();
  await page.getByRole("link", { name: "Images", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Images" }).waitFor();
  await page.getByRole("button", { name: /Upgrading db-1/ }).click();
  const dialog = page.getByRole("dialog", { name: "Tasks" });
  await dialog.getByText("Starting a VMM").waitFor();
  await visit.assertAccessible();
  work.put(site.api.lives.tasks[0].id, { canCancel: false });
  const cancel = dialog.getByRole("button", { name: "Cancel the upgrade of db-1" });
  await page.waitForFunction(() => document.querySelector(".task [aria-disabled=true]") !== null);
  work.put(site.api.lives.tasks[0].id, { canCancel: true });
  await page.waitForFunction(() => document.querySelector(".task [aria-disabled=true]") === null);
  await cancel.click();
  await dialog.getByText("The upgrade of db-1 was cancelled").waitFor();
  await page.locator(".toast", { hasText: "The upgrade of db-1 was cancelled" }).waitFor();
  await dialog.getByRole("link", { name: "db-1" }).click();
  await dialog.waitFor({ state: "hidden" });
  await panel.getByText("was cancelled").waitFor();
  await panel.getByRole("button", { name: "Close this" }).click();
  await panel.waitFor({ state: "detached" });
  release();

  // By keyboard, and after a reload: what ended is still told.
  await page.reload();
  await visit.live();
  await page.keyboard.press("u");
  await dialog.getByText("The upgrade of db-1 was cancelled").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Upgrade the VMM" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Upgrade" }).click();
  await panel.getByText("db-1 has a new VMM; it stood still for 9.6 ms").waitFor();
});

browserTest("a task that fails says why, and it stays until it is read", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { work } = site.api.lives;
  await openGuest(visit, site, "db-1");
  work.hold();
  await page.getByRole("button", { name: "Move", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
  const panel = page.getByRole("region", { name: "Under way" });
  await panel.waitFor();
  copyHalf(site);
  const error = "basement-2 does not answer any more. The guest runs on here";
  work.put(site.api.lives.tasks[0].id, { state: "failed", error });
  await panel.getByText(`The move of db-1 failed: ${error}`).waitFor();
  await page.locator(".toast.problem", { hasText: error }).waitFor();
  await page.getByText("left to copy").waitFor();
  await visit.assertAccessible();
});

browserTest("hosts are paired and removed, and told without asking again", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { lives } = site.api;
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await page.getByRole("heading", { level: 1, name: "Hosts" }).waitFor();
  await visit.live();
  await page.getByText("It does not answer at 192.168.1.30").waitFor();
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Show this host’s code" }).click();
  await dialog.getByText("HW3N-8RTC-V6YA").waitFor();
  await dialog.getByText(/once, until .* UTC/).waitFor();
  await dialog.getByText("192.168.1.20").waitFor();
  await visit.assertAccessible();
  await dialog.getByRole("button", { name: "Close" }).click();

  await page.getByRole("button", { name: "Pair with a host" }).click();
  const pair = dialog.getByRole("button", { name: "Pair", exact: true });
  await dialog.getByLabel("Address of the other host").fill("not an address");
  await dialog.getByLabel("Its code").fill("wrong");
  await pair.click();
  await dialog.locator("#pair-address-error", { hasText: "Must be a host name" }).waitFor();
  await dialog.getByLabel("Address of the other host").fill("nowhere.home");
  await pair.click();
  await dialog.locator("#pair-address-error", { hasText: "nobody answers there" }).waitFor();
  await visit.expectComplaint(/status of 502/);
  await dialog.getByLabel("Address of the other host").fill("shed.home:8444");
  await pair.click();
  // A wrong code is no end of the session.
  await dialog.locator("#pair-code-error", { hasText: "the code is wrong" }).waitFor();
  await visit.expectComplaint(/status of 401/);
  await visit.assertAccessible();
  await dialog.getByLabel("Its code").fill(PEER_CODE.toLowerCase());
  await page.keyboard.press("Enter");
  await page.getByText("Paired with shed").waitFor();
  const row = page.getByRole("row").filter({ hasText: "shed" });
  await row.getByText("Reachable").waitFor();
  assertEquals(await page.getByRole("row").filter({ hasText: "shed" }).count(), 1);

  lives.putPeers(
    lives.peers.map((it) =>
      it.name === "shed" ? { ...it, reachable: false, problem: "It is switched off" } : it
    ),
  );
  await row.getByText("It is switched off").waitFor();
  await row.getByRole("button", { name: "Remove shed" }).click();
  await dialog.getByRole("button", { name: "Remove host" }).click();
  await page.getByText("Removed shed").waitFor();
  assertEquals(lives.peers.length, 3);

  lives.putPeers([]);
  await page.getByText("No other hosts yet").waitFor();
  await visit.assertAccessible();
  await openGuest(visit, site, "db-1");
  await page.getByRole("button", { name: "Move", exact: true }).click();
  await dialog.getByText("This host knows no other one").waitFor();
  await dialog.getByRole("link", { name: "pair it with another host" }).click();
  await page.getByRole("heading", { level: 1, name: "Hosts" }).waitFor();
});

browserTest("whose a guest is is said where the other host never will", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { lives } = site.api;
  const guest = site.api.guests.get(site.guestNamed("web-1"))!;
  await page.goto("/hosts");
  await visit.live();
  const list = page.getByRole("region", { name: "Moves that are not settled" });
  await list.waitFor({ state: "detached" });
  lives.putMoves([newMove(guest)]);
  await list.getByText("It was given to garage, which has not said yet").waitFor();
  await list.getByRole("button", { name: "Say where web-1 is" }).click();
  const dialog = page.getByRole("dialog");
  const settle = dialog.getByRole("button", { name: "Settle it" });
  await settle.click();
  await dialog.getByText("Choose one").waitFor();
  await dialog.getByRole("radio", { name: /garage is gone for good/ }).check();
  await dialog.getByLabel("Its name once more").fill("web");
  await settle.click();
  await dialog.locator("#resolve-confirm-error", { hasText: "Must be web-1" }).waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("Its name once more").fill("web-1");
  const sent = page.waitForRequest((it) => it.url().endsWith("/resolve"));
  await settle.click();
  assertEquals((await sent).postDataJSON(), { runs: "here", confirm: "web-1" });
  await page.getByText("web-1 is here").waitFor();
  await list.getByText("It was settled by hand").waitFor();
  await page.reload();
  await visit.live();
  await list.getByText("It was settled by hand").waitFor();
  await visit.assertAccessible();
  lives.putMoves([newMove(guest, { state: "aside", guestName: "db" })]);
  await list.getByText("What is here of it is set aside").waitFor();
  await page.setViewportSize({ width: 360, height: 740 });
  await visit.assertFits();
  lives.putMoves([]);
  await list.waitFor({ state: "detached" });
});

browserTest("hosts and moves fit a phone, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    await using site = await Site.open(shared.bench);
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    const { page } = visit;
    const each = async (check: () => Promise<void>) => {
      for (const [width, height] of [[360, 740], [1280, 800]]) {
        await page.setViewportSize({ width, height });
        await check();
        await visit.assertFits();
        await visit.assertAccessible();
      }
    };
    await page.goto("/hosts");
    await visit.live();
    await each(() => page.getByText("garage").first().waitFor());
    await openGuest(visit, site, "db-1");
    await page.locator("[data-terminal=ready]").waitFor();
    const release = site.api.lives.work.hold();
    await page.getByRole("button", { name: "Move", exact: true }).click();
    await page.getByText("More", { exact: true }).click();
    await each(() => page.getByRole("dialog").waitFor());
    await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
    await page.getByRole("region", { name: "Under way" }).waitFor();
    copyHalf(site);
    await each(() => page.getByText("left to copy").waitFor());
    await page.keyboard.press("u");
    await each(() => page.getByRole("dialog", { name: "Tasks" }).waitFor());
    release();
    await page.getByText("db-1 has moved").waitFor();
    visit.forgive(/WebSocket/);
  }
});
