/**
 * Takes the pictures of the console that the README files show, before a made-up host:
 *
 * ```sh
 * ./scripts/with-deno task pictures   # mgmt/docs/*.png
 * ```
 *
 * @module
 */
import { join } from "@std/path";
import * as esbuild from "esbuild";
import type { Locator, Page } from "playwright-core";
import { buildConsole } from "../mgmt/build.ts";
import { runConsole } from "../mgmt/gate/run.ts";
import { FakeApi } from "../mgmt/testing/fake_api.ts";
import { openBrowser } from "./demo_pc/chromium.ts";
import { CHECKOUT, progress } from "./setup/checkout.ts";

const DOCS = join(CHECKOUT, "mgmt", "docs");
const PASSWORD = "correct horse";

async function takePictures(page: Page, api: FakeApi): Promise<void> {
  const save = async (name: string, of: Page | Locator = page) => {
    await page.mouse.move(0, 0);
    await of.screenshot({ path: join(DOCS, name), animations: "disabled" });
    progress(`mgmt/docs/${name} is taken`);
  };
  await page.request.post("/api/v1/session", { data: { password: PASSWORD } });
  await page.goto("/");
  await page.locator(".connection.live").waitFor();
  await save("console.png");

  const guest = [...api.guests.values()].find(({ name }) => name === "web-1")!;
  const release = api.lives.work.hold();
  await page.goto(`/guests/${guest.id}`);
  await page.locator("[data-terminal=ready]").waitFor();
  await save("snapshots.png", page.getByRole("region", { name: "Snapshots" }));
  await page.getByRole("button", { name: "Move", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
  await page.getByRole("region", { name: "Under way" }).waitFor();
  const [{ id }] = api.lives.tasks;
  for (let i = 1; i <= 20; i++) {
    api.lives.work.copied(id, { share: (i / 26) ** 0.7, atMs: 400 * i });
  }
  await page.getByText(/left to copy/).waitFor();
  // Away from the button, which would tell why it cannot be pressed now.
  await page.locator("#main").focus();
  await page.evaluate(() => scrollTo(0, 0));
  await save("move.png");
  release();
}

async function main(): Promise<void> {
  await buildConsole();
  await esbuild.stop();
  const dir = await Deno.makeTempDir();
  const path = join(dir, "api.sock");
  await using api = new FakeApi({ path, password: PASSWORD });
  const { default: server } = await import(join(CHECKOUT, "mgmt", "_fresh", "server.js"));
  const options = { assets: join(CHECKOUT, "mgmt"), port: 0, httpPort: 0, hostname: "127.0.0.1" };
  const running = await runConsole(
    { ...options, api: path, tlsDir: join(dir, "tls") },
    server.fetch,
  );
  const browser = await openBrowser();
  const page = await browser.newPage({
    baseURL: `https://127.0.0.1:${running.port}`,
    ignoreHTTPSErrors: true,
    viewport: { width: 1360, height: 860 },
    reducedMotion: "reduce",
  });
  await takePictures(page, api);
  await browser.close();
  await Deno.remove(dir, { recursive: true });
}

if (import.meta.main) {
  await main();
  // Streams of a browser that is gone may still be open.
  Deno.exit(0);
}
