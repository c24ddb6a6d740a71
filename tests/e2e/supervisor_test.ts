/**
 * The console in a real browser before the real supervisor, whose VMMs only pretend.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";
import { Visit, withPlainErrors } from "./browser.ts";
import { startConsole } from "./console_process.ts";
import { Bench, PASSWORD } from "./site.ts";

Deno.test({
  name: "from the set-up code to a guest's prompt, a supervisor's restart, and back to nothing",
  // The browser's and esbuild's processes end a moment after the bench.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    withPlainErrors(async () => {
      await using bench = await Bench.open();
      // Not where it would be by itself: Deno grants nothing below /dev one by one.
      const parent = await Deno.makeTempDir({ prefix: "site-" });
      await using host = await TestHost.start({ parent });
      await using console = await startConsole({
        built: bench.built,
        api: host.path("run/console/api.sock"),
        dir: host.directory,
      });
      await using visit = await Visit.start(bench.browser, { url: console.url });
      const { page } = visit;

      await page.goto("/");
      await page.waitForURL("**/setup");
      const code = [...Deno.readDirSync(host.path("run"))].find(({ name }) => /code/.test(name));
      await page.getByLabel("Code on the host's screen")
        .fill(Deno.readTextFileSync(host.path("run", code!.name)).trim().toLowerCase());
      await page.getByLabel("New administrator's password").fill(PASSWORD);
      await page.getByLabel("The same once more").fill(PASSWORD);
      await page.getByRole("button", { name: "Set the password" }).click();
      await page.waitForURL("**/login?new");
      await page.getByLabel("Administrator's password").fill("wrong password");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByText("the password is wrong").first().waitFor();
      await visit.expectComplaint(/status of 401|status of 403/);
      await visit.signIn(PASSWORD);
      await page.getByText("No guests yet").waitFor();

      await page.getByRole("link", { name: "Images", exact: true }).click();
      await visit.live();
      await page.locator("input[type=file]").setInputFiles({
        name: "vmlinuz",
        mimeType: "application/octet-stream",
        buffer: Buffer.alloc(100_000, 7),
      });
      await page.getByRole("button", { name: "Upload", exact: true }).click();
      await page.getByText("Uploaded vmlinuz").waitFor();

      await page.keyboard.press("n");
      // The page before it has a field for a name too.
      await page.getByRole("heading", { level: 1, name: "New guest" }).waitFor();
      await page.getByLabel("Name", { exact: true }).fill("first");
      await page.getByLabel("Memory, MiB").fill("999999");
      await page.getByLabel("Size, MiB").fill("8");
      await page.getByRole("button", { name: "Create guest" }).click();
      await page.locator(".field-error, .banner").first().waitFor();
      await visit.expectComplaint(/status of 4\d\d/);
      await page.getByLabel("Memory, MiB").fill("128");
      await page.getByRole("button", { name: "Create guest" }).click();
      const state = (text: string) => page.locator("h1 .state", { hasText: text }).waitFor();
      await state("Running");
      await visit.terminalShows(/console of first/);
      await page.locator(".link-open").waitFor();
      await page.keyboard.press("t");
      await page.keyboard.type("hello guest");
      await visit.terminalShows(/hello guest$/);
      await page.reload();
      await visit.terminalShows(/hello guest$/);

      // The supervisor goes and comes back; guest and page live on.
      await host.down();
      await page.locator(".connection.lost").waitFor();
      await host.up();
      await visit.live();
      await page.locator(".link-open").waitFor();
      await visit.terminalShows(/hello guest$/);
      await page.getByRole("button", { name: "Stop", exact: true }).click();
      await state("Stopped");
      await page.getByText("first is off").waitFor();
      await page.getByRole("button", { name: "Delete", exact: true }).click();
      await page.getByRole("button", { name: "Delete first" }).click();
      await page.getByText("No guests yet").waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.waitForURL("**/login");
      // The browser may tell late of a connection that it tried in vain.
      visit.forgive(/502|ERR_|WebSocket/);
      assertEquals(host.supervisor.guests.list(), []);
      host.assertNothingLeft();
    }),
});
