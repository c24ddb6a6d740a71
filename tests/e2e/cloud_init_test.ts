/**
 * What cloud-init tells guests, in the console, before the real supervisor.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { textsIn } from "../../hypervisor/supervisor/testing/iso_reader.ts";
import { shareSupervisedSite, supervisedTest } from "./supervised_site.ts";

shareSupervisedSite();

const KEY = `ssh-ed25519 ${btoa("\0\0\0\x0bssh-ed25519\0\0\0\x20key")} me@home`;

supervisedTest("a guest gets a cloud-init disk, which is changed and taken away", async (site) => {
  await using it = await site.visitGuest({ name: "seeded" });
  const { visit: { page }, visit, guest: { id } } = it;
  const panel = page.getByRole("region", { name: "cloud-init" });
  const dialog = page.getByRole("dialog");
  await panel.getByText("It has no disk").waitFor();
  await panel.getByRole("button", { name: "Add a cloud-init disk" }).click();
  await dialog.getByLabel("SSH keys").fill("-----BEGIN OPENSSH PRIVATE KEY-----");
  await dialog.getByLabel("User data").fill("packages: [nginx]");
  await dialog.getByText("17 B of 64 KiB").waitFor();
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.locator("#cloud-keys-error", { hasText: "Must be a public key" }).waitFor();
  await dialog.locator("#cloud-user-data-error", { hasText: "Must begin with" }).waitFor();
  await visit.assertAccessible();
  await dialog.getByLabel("SSH keys").fill(`${KEY}\n\n${KEY}`);
  await dialog.getByLabel("User data").fill("#!/bin/sh\necho ü\n".padEnd(65_536, "x"));
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.locator("#cloud-user-data-error", { hasText: "at most 65536 bytes" }).waitFor();
  await dialog.getByLabel("User data").fill("#!/bin/sh\necho hello\n");
  await dialog.getByLabel("Network configuration").fill("version: 2\nethernets: [eth0]\n");
  await dialog.getByRole("button", { name: "Add" }).click();
  // Only the host looks into it.
  await dialog.locator("#cloud-network-error", { hasText: "ine 2: ethernets must have" }).waitFor();
  await visit.expectComplaint(/status of 400/);
  await dialog.getByLabel("Network configuration").fill("");
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByText("Added a cloud-init disk").waitFor();
  await panel.getByText("seeded").waitFor();
  const { cloudInit } = await site.host.get(id);
  await panel.getByText(cloudInit!.instanceId).waitFor();
  assertEquals([cloudInit!.sshKeys, cloudInit!.userDataBytes], [2, 21]);

  await site.host.start(id);
  const change = panel.getByRole("button", { name: "Change what cloud-init finds" });
  await change.click();
  assertEquals(await dialog.getByLabel("User data").inputValue(), "#!/bin/sh\necho hello\n");
  assertEquals(await dialog.getByLabel("SSH keys").inputValue(), `${KEY}\n${KEY}`);
  await dialog.getByLabel("Host name").fill("db");
  await dialog.getByLabel("Take the guest for a new machine").check();
  await visit.assertAccessible();
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("seeded has it from its next start on").waitFor();
  await page.getByText("At its next start changes: cloud-init’s instance, host name").waitFor();
  const changed = await site.host.get(id);
  assert(changed.cloudInit!.instanceId !== cloudInit!.instanceId);
  assertEquals(changed.cloudInit!.hostname, "db");

  await panel.getByRole("button", { name: "Take the cloud-init disk away" }).click();
  await dialog.getByRole("button", { name: "Take it away" }).click();
  await page.getByText("At its next start changes: the cloud-init disk").waitFor();
  assertEquals((await site.host.get(id)).cloudInit, null);
});

supervisedTest(
  "a new guest has what was filled in, and a mistake is told where it is",
  async (site) => {
    await using it = await site.visitGuest({ name: "elsewhere" }, { width: 360, height: 740 });
    const { visit: { page }, visit } = it;
    await page.goto("/guests/new");
    const create = page.getByRole("button", { name: "Create guest" });
    await page.getByLabel("Name", { exact: true }).fill("fresh");
    await page.getByLabel("Content").selectOption("No disk");
    await page.getByText("What the system is told").click();
    await page.getByLabel("Network configuration").fill("version: 3\n");
    await page.getByLabel("SSH keys").fill(KEY);
    await create.click();
    await page.locator("#cloud-network-error", { hasText: "must say version: 1" }).waitFor();
    await visit.expectComplaint(/status of 400/);
    await visit.assertAccessible();
    await visit.assertFits();
    await page.getByLabel("Network configuration").fill("version: 2\n");
    await create.click();
    await page.waitForURL(/guests\/[0-9A-Z]{26}$/);
    const id = new URL(page.url()).pathname.split("/").at(-1)!;
    await site.host.reaches(id, "running");
    const texts = textsIn(Deno.readFileSync(site.host.path("run/guests", id, "cidata.iso")));
    assertEquals(texts["network-config"], "version: 2\n");
    assertMatch(texts["meta-data"], /local-hostname: "fresh"\npublic-keys:\n {2}- "ssh-ed25519 /);

    await page.goto("/guests/new");
    await page.getByLabel("Name", { exact: true }).fill("bare");
    await page.getByLabel("Content").selectOption("No disk");
    await page.getByLabel("Start right after it is created").uncheck();
    await create.click();
    await page.waitForURL(/guests\/[0-9A-Z]{26}$/);
    await page.getByRole("region", { name: "cloud-init" }).getByText("It has no disk").waitFor();
  },
);
