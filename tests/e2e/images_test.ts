/**
 * Images in a real browser, before a made-up host.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { browserTest, shared } from "./shared_site.ts";

browserTest("images are uploaded, one is cancelled, and used ones stay", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  await page.goto("/images");
  await visit.live();
  const used = page.getByRole("button", { name: "Delete vmlinuz-6.12-cloud" });
  assertEquals(await used.getAttribute("aria-disabled"), "true");
  await page.locator("input[type=file]").setInputFiles({
    name: "my kernel vmlinuz",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(300_000),
  });
  assertEquals(await page.getByLabel("Name").inputValue(), "my-kernel-vmlinuz");
  assertEquals(await page.getByLabel("Kind").inputValue(), "kernel");
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByText("Uploaded my-kernel-vmlinuz").waitFor();
  await page.getByRole("row").filter({ hasText: "my-kernel-vmlinuz" }).getByText("293 KiB")
    .waitFor();
  assertEquals(shared.site.api.lastHeaders.get("x-upload-length"), "300000");
  await page.getByRole("button", { name: "Delete my-kernel-vmlinuz" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete image" }).click();
  await page.getByText("Deleted my-kernel-vmlinuz").waitFor();

  // An upload that does not end by itself goes on while other pages are looked at.
  const release = shared.site.api.holdUploads();
  await page.locator("input[type=file]").setInputFiles({
    name: "slow.raw",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(4_000_000),
  });
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByRole("link", { name: "Guests" }).click();
  await page.getByRole("link", { name: /Uploading/ }).click();
  await page.getByRole("button", { name: /Cancel the upload of slow.raw/ }).click();
  await page.getByText("Cancelled the upload of slow.raw").waitFor();
  release();
  assert(!shared.site.api.images.some(({ name }) => name === "slow.raw"));
});

browserTest("a file chosen before the page came alive is not lost", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const held = Promise.withResolvers<void>();
  await page.route(/\.js(\?|$)/, async (route) => {
    await held.promise;
    await route.continue();
  });
  await page.goto("/images", { waitUntil: "commit" });
  await page.locator("input[type=file]").setInputFiles({
    name: "early.raw",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(1000),
  });
  held.resolve();
  assertEquals(await page.getByLabel("Name").inputValue(), "early.raw");
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
});
