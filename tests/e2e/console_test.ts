/**
 * The console in a real browser, before a made-up host.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { browserTest, shared } from "./shared_site.ts";
import { PASSWORD, Site } from "./site.ts";

browserTest("a new host is set up with its code, and then wants the password", async () => {
  await using site = await Site.open(shared.bench, { password: undefined, setupCode: "ABCD-1234" });
  await using visit = await site.visit();
  const { page } = visit;
  await page.goto("/");
  assertEquals(new URL(page.url()).pathname, "/setup");
  const fill = async (code: string, password: string, again = password) => {
    await page.getByLabel("Code on the host's screen").fill(code);
    await page.getByLabel("New administrator's password").fill(password);
    await page.getByLabel("The same once more").fill(again);
    await page.getByRole("button", { name: "Set the password" }).click();
  };
  // Hydrated once the check reacts.
  await page.getByLabel("Show the passwords").check();
  await page.locator("#password[type=text]").waitFor();
  await fill("ABCD-1234", "short");
  await page.getByText("Take at least 10 characters").first().waitFor();
  await fill("ABCD-1234", PASSWORD, "something else");
  await page.getByText("The two passwords differ").first().waitFor();
  await fill("WRONG", PASSWORD);
  await page.getByText("the code is wrong").first().waitFor();
  await visit.expectComplaint(/status of 403/);
  await fill("abcd-1234", PASSWORD);
  await page.waitForURL("**/login?new");
  await visit.assertAccessible();
  await page.getByLabel("Administrator's password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("the password is wrong").first().waitFor();
  await visit.expectComplaint(/status of 401/);
  assertEquals(
    await page.locator("#password").evaluate((it) => it === document.activeElement),
    true,
  );
  await page.getByLabel("Administrator's password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await visit.live();
  assertEquals(new URL(page.url()).pathname, "/");
});

browserTest("guests are live without the page asking again", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const row = page.getByRole("row").filter({ hasText: "attic" });
  const state = (text: string) => row.locator(".state", { hasText: text }).waitFor();
  await state("Stopped");
  const asked = shared.site.api.log.length;
  const id = shared.site.guestNamed("attic");
  shared.site.api.put(id, { state: "starting" });
  await state("Starting");
  shared.site.api.put(id, { state: "running", startedAt: new Date().toISOString() });
  await state("Running");
  await page.getByText("3 of 5 running").waitFor();
  shared.site.api.put(id, { pausedFor: "The disk of the host is full" });
  await state("Paused");
  await row.getByText("The disk of the host is full").waitFor();
  shared.site.api.put(id, { pausedFor: null });
  await state("Running");
  assertEquals(shared.site.api.log.slice(asked), []);
  shared.site.api.put(id, { state: "stopped", startedAt: null });
  await state("Stopped");
});

browserTest(
  "a guest is started, stopped and forced off; what cannot be says why",
  async () => {
    await using visit = await shared.site.visitSignedIn();
    const { page } = visit;
    const button = (name: string) => page.getByRole("button", { name, exact: true });
    await page.getByRole("link", { name: "attic" }).click();
    await page.getByRole("heading", { level: 1, name: /attic/ }).getByText("Stopped").waitFor();
    await page.locator("[data-terminal=ready]").waitFor();
    assertEquals(await button("Stop").getAttribute("aria-disabled"), "true");
    await button("Stop").focus();
    await page.getByText("Cannot stop a guest that is stopped").waitFor();
    await button("Start").click();
    await page.getByRole("heading", { level: 1 }).getByText("Running").waitFor();
    assertEquals(await button("Delete").getAttribute("aria-disabled"), "true");
    await button("Stop").click();
    await page.getByText("Pressed the power button of attic").waitFor();
    await button("Force off").click();
    await page.getByRole("dialog").getByRole("button", { name: "Force off" }).click();
    await page.getByRole("heading", { level: 1 }).getByText("Stopped").waitFor();
    assertEquals(await button("Stop").getAttribute("aria-disabled"), "true");
    assertMatch(shared.site.api.lastHeaders.get("x-csrf-token") ?? "", /^[\w-]{30,}$/);
    assertEquals(shared.site.api.lastHeaders.get("x-forwarded-for"), "127.0.0.1");
  },
);

browserTest("the terminal echoes, survives a reload and comes back by itself", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const id = shared.site.guestNamed("web-1");
  await page.goto(`/guests/${id}`);
  await visit.terminalShows(/web-1 login:$/);
  await page.locator(".link-open").waitFor();
  await page.keyboard.press("t");
  await page.keyboard.type("uname\r");
  await visit.terminalShows(/you typed: uname\nweb-1:~#$/);
  await page.reload();
  await visit.terminalShows(/you typed: uname\nweb-1:~#$/);
  shared.site.api.serial(id).end();
  await page.locator(".link-waiting").waitFor();
  await page.locator(".link-open").waitFor();
  await visit.terminalShows(/web-1:~#$/);
  // Colours that no style sheet can know beforehand.
  shared.site.api.serial(id).print("\r\n\x1b[38;2;10;200;30mtrue\x1b[0m \x1b[31mred\x1b[0m $ ");
  await visit.terminalShows(/true red \$$/);
  const colour = await page.locator(".xterm-rows span", { hasText: /^true$/ })
    .evaluate((it) => getComputedStyle(it).color);
  assertEquals(colour, "rgb(10, 200, 30)");
  const plain = await page.locator(".xterm-rows").evaluate((it) => getComputedStyle(it).color);
  assertEquals(plain, "rgb(223, 231, 226)");
  await page.keyboard.press("t");
  await page.keyboard.press("Shift+Escape");
  assertEquals(await page.evaluate(() => document.activeElement?.textContent), "Full screen");
});

browserTest(
  "a guest that runs off keeps its last screen, and says that it is off",
  async () => {
    await using visit = await shared.site.visitSignedIn();
    const { page } = visit;
    await page.goto(`/guests/${shared.site.guestNamed("lab-router")}`);
    await page.getByText("lab-router is off").waitFor();
    await page.getByText("it found no root file system").waitFor();
  },
);

browserTest("a guest is created; wrong fields are told at the fields", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  await page.getByRole("link", { name: "New guest" }).click();
  await page.waitForURL("**/guests/new");
  const name = page.getByLabel("Name", { exact: true });
  await name.fill("Not A Name");
  await page.getByLabel("Memory, MiB").fill("5");
  await page.getByRole("button", { name: "Create guest" }).click();
  await page.locator("#name-error", { hasText: "Must be 1 to 63" }).waitFor();
  await page.locator("#memoryMiB-error", { hasText: "Must be at least 64" }).waitFor();
  assertEquals(await name.getAttribute("aria-invalid"), "true");
  assertEquals(await name.evaluate((it) => it === document.activeElement), true);
  assertEquals(
    await page.getByLabel("Kernel command line").inputValue(),
    "console=ttyS0 root=/dev/vda rw",
  );
  // Only the host knows that a name is taken.
  await name.fill("web-1");
  await page.getByLabel("Memory, MiB").fill("256");
  await page.getByRole("button", { name: "Create guest" }).click();
  await page.locator("#name-error", { hasText: "the name is taken" }).waitFor();
  await visit.expectComplaint(/status of 409/);
  await name.fill("web-2");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: /web-2/ }).getByText("Running").waitFor();
  await visit.terminalShows(/web-2 login:$/);
  const made = shared.site.api.guests.get(shared.site.guestNamed("web-2"))!;
  assertEquals([made.memoryMiB, made.disks[0].image], [256, "debian-12.raw"]);
});

browserTest("settings are changed and a guest is deleted", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const id = shared.site.guestNamed("web-2");
  shared.site.api.put(id, { state: "stopped" });
  await page.goto(`/guests/${id}`);
  await visit.live();
  await page.getByRole("button", { name: "Change the settings" }).click();
  await page.getByRole("dialog").getByLabel("vCPUs").fill("9");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Must be at most 8").waitFor();
  await page.getByRole("dialog").getByLabel("vCPUs").fill("3");
  await page.getByLabel("Start with the host").check();
  await page.getByLabel("Place among those that start").fill("1000");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Must be at most 999").waitFor();
  await page.getByLabel("Place among those that start").fill("7");
  await page.getByLabel("Seconds until the next place").fill("30");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Changed web-2").waitFor();
  assertEquals(shared.site.api.guests.get(id)!.cpus, 3);
  assertEquals(shared.site.api.guests.get(id)!.startOrder, { place: 7, delaySeconds: 30 });
  await page.getByText("yes, in place 7, and the next place 30 s later").waitFor();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const question = page.getByRole("dialog", { name: "Delete web-2?" });
  await question.waitFor();
  await page.keyboard.press("Escape");
  await question.waitFor({ state: "hidden" });
  assert(shared.site.api.guests.has(id));
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("button", { name: "Delete web-2" }).click();
  await page.waitForURL((url) => url.pathname === "/");
  await page.getByText("Deleted web-2").waitFor();
  assertEquals(await page.getByRole("link", { name: "web-2" }).count(), 0);
});

browserTest("every page is accessible in both themes and fits a phone", async () => {
  const paths = ["/", `/guests/${shared.site.guestNamed("web-1")}`, "/guests/new", "/images"];
  for (const colorScheme of ["light", "dark"] as const) {
    await using visit = await shared.site.visit({ colorScheme, width: 360, height: 740 });
    await visit.page.goto("/login");
    await visit.assertAccessible();
    await visit.assertFits();
    await visit.haveSession(PASSWORD);
    for (const path of paths) {
      await visit.page.setViewportSize({ width: 360, height: 740 });
      await visit.page.goto(path);
      await visit.live();
      if (path.includes("-") || /\/[0-9A-Z]{26}$/.test(path)) {
        await visit.page.locator("[data-terminal=ready]").waitFor();
      }
      await visit.assertFits();
      await visit.page.setViewportSize({ width: 1280, height: 800 });
      await visit.assertFits();
      await visit.assertAccessible();
    }
    await visit.page.goto("/nowhere");
    await visit.expectComplaint(/status of 404/);
    await visit.assertAccessible();
    await visit.page.setViewportSize({ width: 360, height: 740 });
    await visit.assertFits();
  }
});

browserTest("a host without guests and images leads to the first steps", async () => {
  await using empty = await Site.open(shared.bench, {
    guests: [],
    images: [],
    host: { kvmProblem: "Cannot open /dev/kvm: it is not there" },
  });
  await using visit = await empty.visitSignedIn({ width: 360, height: 740 });
  const { page } = visit;
  await page.getByText("No guest can run on this host").waitFor();
  await visit.assertAccessible();
  await page.getByRole("link", { name: "Create the first guest" }).click();
  await page.getByText("First it needs a kernel").waitFor();
  await visit.assertFits();
  await page.getByRole("main").getByRole("link", { name: "Upload images" }).click();
  await page.getByText("A Linux bzImage").waitFor();
  await visit.assertFits();
});

browserTest("a guest that waits for room on a full host says what to do", async () => {
  await using full = await Site.open(shared.bench, { host: { diskFreeMiB: 100 } });
  await using visit = await full.visitSignedIn();
  const { page } = visit;
  const id = full.guestNamed("web-1");
  full.api.put(id, { pausedFor: "The disk has no room on the host" });
  await page.getByRole("link", { name: "web-1" }).click();
  await page.getByText("The host has 100 MiB of storage left").waitFor();
  await page.getByRole("link", { name: "delete images" }).waitFor();
  await visit.assertAccessible();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("heading", { level: 1 }).getByText("Running").waitFor();
});

browserTest("a page that is left before it came alive leaves the next one alone", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  await page.route(/create_page.*\.js$/, (route) => first.promise.then(() => route.continue()));
  await page.route(/images_page.*\.js$/, (route) => second.promise.then(() => route.continue()));
  await page.getByRole("link", { name: "New guest" }).click();
  await page.getByRole("heading", { level: 1, name: "New guest" }).waitFor();
  await page.getByRole("link", { name: "Images", exact: true }).click();
  const heading = page.getByRole("heading", { level: 1, name: "Images" });
  await heading.waitFor();
  const created = page.waitForResponse(/create_page.*\.js$/);
  first.resolve();
  await (await created).finished();
  // Whatever its islands do now, they are not asked for any more.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));
  await heading.waitFor();
  second.resolve();
  // It is alive: a file can be chosen, and then it is asked for more.
  await page.locator("input[type=file]").setInputFiles({
    name: "initrd.img",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(1000),
  });
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  await heading.waitFor();
  assertEquals(await page.getByRole("heading", { level: 1 }).count(), 1);
});

browserTest("all can be done by keyboard", async () => {
  await using visit = await shared.site.visit();
  const { page } = visit;
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  await page.goto("/login");
  await page.locator("#password:focus").waitFor();
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await visit.live();
  await page.keyboard.press("Tab");
  assertEquals(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assertEquals(await focused(), "New guest");
  await page.keyboard.press("Tab");
  assertEquals(await focused(), "attic");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/guests/*");
  await page.locator("[data-terminal=ready]").waitFor();
  await page.keyboard.press("s");
  await page.getByRole("heading", { level: 1 }).getByText("Running").waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("i");
  await page.waitForURL("**/images");
  await visit.live();
  await page.keyboard.press("?");
  const keys = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await keys.waitFor();
  await page.keyboard.press("Escape");
  await keys.waitFor({ state: "hidden" });
  await page.keyboard.press("n");
  await page.waitForURL("**/guests/new");
  await page.keyboard.press("Control+Home");
  // Keys may be quicker than the terminal that the page had just begun to connect.
  visit.forgive(/WebSocket is closed before the connection is established/);
  shared.site.api.put(shared.site.guestNamed("attic"), { state: "stopped", startedAt: null });
});

browserTest("back and forward work, and the theme is kept", async () => {
  await using visit = await shared.site.visitSignedIn();
  const { page } = visit;
  const loads = shared.site.api.log.filter((it) => it === "GET /events").length;
  await page.getByRole("link", { name: "Images", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Images" }).waitFor();
  assertEquals(await page.title(), "Images · Denovisor");
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: "Guests" }).waitFor();
  await page.goForward();
  await page.getByRole("heading", { level: 1, name: "Images" }).waitFor();
  // One stream for all of it.
  assertEquals(shared.site.api.log.filter((it) => it === "GET /events").length, loads);
  await page.getByRole("button", { name: "Switch between light and dark" }).click();
  await page.reload();
  assertEquals(await page.locator("html").getAttribute("data-theme"), "dark");
});
