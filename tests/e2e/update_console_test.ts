/**
 * The console's page of the host's updates, before a made-up host.
 */
import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Visit } from "./browser.ts";
import { browserTest, shared } from "./shared_site.ts";
import { Site } from "./site.ts";

const FILES = [
  { name: "denovisor-1.3.0.efi", mimeType: "", buffer: Buffer.alloc(300_000) },
  { name: "denovisor-1.3.0.efi.sig", mimeType: "", buffer: Buffer.from("signed") },
];

async function openUpdate(visit: Visit): Promise<void> {
  await visit.page.goto("/update");
  await visit.live();
}

browserTest("an update is uploaded, and its progress is there after a reload", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  await page.goto("/");
  await visit.live();
  await page.keyboard.press("g");
  await page.keyboard.press("u");
  await page.getByRole("heading", { name: "Update", exact: true }).waitFor();
  await visit.assertAccessible();
  const files = page.getByLabel("From this computer");
  await files.setInputFiles(FILES.slice(0, 1));
  await page.getByRole("button", { name: "Upload" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("Choose two files").waitFor();
  await visit.assertAccessible();
  const goOn = site.api.update.hold();
  await files.setInputFiles(FILES);
  await page.getByRole("button", { name: "Upload" }).click();
  const panel = page.getByRole("region", { name: "Update under way" });
  await panel.getByText("Writing it to the disk").waitFor();
  // It is the host's, and there for whoever looks.
  await using second = await site.visitSignedIn();
  await openUpdate(second);
  await second.page.getByText("Writing it to the disk").waitFor();
  await second.page.reload();
  await second.page.getByText("Writing it to the disk").waitFor();
  await second.assertAccessible();
  goOn();
  for (const { page } of [visit, second]) {
    await page.getByRole("heading", { name: "Version 1.3.0 is ready" }).waitFor();
  }
  assertEquals(site.api.log.some((it) => it.startsWith("PUT /host/update")), true);
});

browserTest("an update that the host fetches is cancelled, or goes on to a restart", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { update } = site.api;
  await openUpdate(visit);
  const url = page.getByLabel("From an address");
  await url.fill("http://example.org/denovisor.efi");
  await page.keyboard.press("Enter");
  await page.getByText("Must begin with https://").waitFor();
  await url.fill("https://example.org/denovisor.efi");
  update.hold();
  await page.keyboard.press("Enter");
  const panel = page.getByRole("region", { name: "Update under way" });
  await panel.getByText("https://example.org/denovisor.efi").waitFor();
  await panel.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("alert").getByText("The update was cancelled").waitFor();
  await visit.assertAccessible();

  await url.fill("https://example.org/denovisor.efi");
  await page.keyboard.press("Enter");
  const ready = page.getByRole("region", { name: "Ready" });
  await ready.getByRole("button", { name: "Restart now" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Guests").selectOption("save");
  await visit.assertAccessible();
  await dialog.getByRole("button", { name: "Restart now" }).click();
  await dialog.waitFor({ state: "hidden" });
  assertEquals(update.restarts, ["save"]);
  await ready.getByRole("button", { name: "Do not try it" }).click();
  await ready.waitFor({ state: "detached" });
});

browserTest("what became of the last update is told, and it can be undone", async () => {
  await using site = await Site.open(shared.bench);
  await using visit = await site.visitSignedIn();
  const { page } = visit;
  const { update } = site.api;
  await openUpdate(visit);
  await page.getByText("Updated from 1.1.0 to 1.2.0").waitFor();
  await page.getByRole("button", { name: "Go back to version 1.1.0" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Go back" }).click();
  await page.getByRole("heading", { name: "Version 1.1.0 is ready" }).waitFor();
  update.put({
    last: {
      ...{ at: "2026-11-23T20:00:00Z", from: "1.2.0", to: "1.3.0", outcome: "fell back" },
      why: "the console did not answer in time",
    },
  });
  await page.getByRole("alert").getByText(
    "The update to 1.3.0 fell back to 1.2.0: the console did not answer in time",
  ).waitFor();
  const guests = page.getByLabel("When the host restarts or powers off");
  await guests.selectOption("shutdown");
  await page.reload();
  await visit.live();
  assertEquals(await guests.inputValue(), "shutdown");
});

browserTest("updates fit a phone, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    await using site = await Site.open(shared.bench);
    await using visit = await site.visitSignedIn({ colorScheme, width: 360, height: 740 });
    const { page } = visit;
    site.api.update.put({
      ready: { version: "1.3.0", system: "b" },
      trial: { system: "a", secondsLeft: 120, waitsFor: "the guests are back" },
      job: { phase: "staging", bytes: 1e7, total: 6e7, error: null, isOver: false },
    });
    await openUpdate(visit);
    for (const [width, height] of [[360, 740], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      await visit.assertFits();
      await visit.assertAccessible();
      if (Deno.env.get("PICTURES")) {
        const path = `${Deno.env.get("PICTURES")}/update-${colorScheme}-${width}.png`;
        await page.screenshot({ path, fullPage: true });
      }
    }
  }
});
