/**
 * The host's log in the console, before a made-up host.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

browserTest("the log is reached by keyboard, followed, and shown by level", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.keyboard.press("g");
  await page.keyboard.press("l");
  await page.getByRole("heading", { level: 1, name: "Log" }).waitFor();
  const rows = page.getByRole("log").getByRole("listitem");
  await rows.filter({ hasText: "the network is up" }).waitFor();
  site.api.hostLog.tell("it comes by itself <b>", { level: "error", fields: { guest: "web-1" } });
  await rows.first().getByText("it comes by itself <b>").waitFor();
  await visit.assertAccessible();
  await page.getByLabel("Show").selectOption("warning");
  await rows.filter({ hasText: "the network is up" }).waitFor({ state: "detached" });
  assertEquals(await rows.count(), 2);
  await page.getByLabel("Follow").uncheck();
  site.api.hostLog.tell("not now", { level: "error" });
  await page.getByLabel("Show").selectOption("error");
  await rows.first().getByText("not now").waitFor();
  assertEquals(await rows.count(), 2);
});

browserTest("earlier records are shown on demand", async () => {
  await using site = await Site.open(shared.bench);
  for (let i = 0; i < 300; i++) site.api.hostLog.tell(`number ${i}`);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/log");
  await visit.live();
  assertEquals(await page.getByText("the network is up").count(), 0);
  await page.getByRole("button", { name: "Show earlier ones" }).click();
  await page.getByText("the network is up").waitFor();
  assertEquals(await page.getByRole("button", { name: "Show earlier ones" }).count(), 0);
});

browserTest("a crash is shown and forgotten, and the support bundle is a file", async () => {
  await using site = await Site.open(shared.bench);
  site.api.hostLog.crashes = [{
    ...{ id: "01ARZ3NDEKTSV4RRFFQ69G5FAV", kind: "vmm", time: "2030-01-01T00:00:00.000Z" },
    ...{ title: "triple fault at 0xfff0", guest: "web-1" },
  }];
  for (const colorScheme of ["light", "dark"] as const) {
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    await visit.page.goto("/log");
    await visit.live();
    await visit.assertFits();
    await visit.page.setViewportSize({ width: 1280, height: 800 });
    await visit.assertFits();
    await visit.assertAccessible();
  }
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/log");
  await visit.live();
  await page.getByRole("button", { name: "Show triple fault" }).click();
  await page.getByRole("dialog").getByText("that is known").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Forget triple fault" }).click();
  await page.getByRole("button", { name: "Forget crash" }).click();
  await page.getByRole("table", { name: "Crashes" }).waitFor({ state: "detached" });
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Support bundle" }).click();
  assertEquals((await download).suggestedFilename(), "denovisor-support.tar.gz");
});
