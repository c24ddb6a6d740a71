/**
 * The support bundle of a host that has secrets in every place where there can be some.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HostSocket } from "../../bootimg/host_socket.ts";
import { entryOfLine, makeEntry } from "../../bootimg/log/entry.ts";
import { LogBook } from "../../bootimg/log/log_book.ts";
import { logRoutes } from "../../bootimg/log/serve.ts";
import { parseSettings } from "../../bootimg/settings/parse.ts";
import { withoutSecrets } from "../../bootimg/settings/without_secrets.ts";
import type { HostSettings } from "../../hypervisor/supervisor/api/host_settings.ts";
import { hashPassword } from "../../hypervisor/supervisor/access/password.ts";
import { randomCode } from "../../hypervisor/supervisor/access/secrets.ts";
import { run } from "../../hypervisor/supervisor/cli/main.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

const PASSWORD = "Plum-hunter2-Plum";

async function unpack(path: string): Promise<Map<string, string>> {
  const list = async (...args: string[]) => {
    const { success, stdout } = await new Deno.Command("tar", { args }).output();
    assert(success);
    return new TextDecoder().decode(stdout);
  };
  const found = new Map<string, string>();
  for (const name of (await list("-tzf", path)).split("\n").filter(Boolean)) {
    found.set(name.replace(/^support\//, ""), await list("-xzOf", path, name));
  }
  return found;
}

Deno.test("a support bundle has what helps, and no secret from anywhere", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dv-" });
  const hash = await hashPassword(PASSWORD, { memory: 16, passes: 1 });
  const { settings, mistakes } = parseSettings(`hostname: lab-7
password: ${hash}
sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGh1bnRlcjJodW50ZXIy hunter2@home"]
syslog: tcp://logs.example
`);
  assertEquals(mistakes, []);
  const book = new LogBook();
  const socket = new HostSocket(`${folder}/host.sock`);
  socket.add(logRoutes(book));
  socket.add({
    "GET /support": () =>
      Response.json({
        settings: withoutSecrets(settings as HostSettings),
        problems: ["a cable is missing"],
      }),
  });
  try {
    await using host = await TestHost.start({
      parent: folder,
      hostSocket: `${folder}/host.sock`,
      access: { passwordFile: `${folder}/password` },
    });
    const code = Deno.readTextFileSync(host.path("run/setup_code")).trim();
    const { access } = host.supervisor;
    const { token, csrfToken } = await access.sessions.create();
    const pairing = randomCode();
    const secretWord = "word-of-hunter2";
    const guest = await host.guest({
      name: "db",
      cmdline: `crash console=ttyS0 myapp.password=${secretWord} seed=hunter2-in-a-command-line`,
      cloudInit: {
        userData: "#cloud-config\nchpasswd:\n  users: [{name: root, password: hunter2-told}]\n",
        networkConfig: "version: 2\nwifis: {w: {password: hunter2-air}}\n",
        sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGh1bnRlcjJodW50ZXIy hunter2@home"],
      },
    });
    await host.start(guest.id).catch(() => {});
    await host.reaches(guest.id, "failed");
    await host.guest({ name: "web", cmdline: "quiet" });
    const web = host.supervisor.guests.list().find(({ name }) => name === "web")!;
    await host.start(web.id);
    const key = "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----";
    const everything = [
      ...[`password=${PASSWORD}`, hash, code, pairing, `__Host-session=${token}`],
      ...[`x-csrf-token: ${csrfToken}`, key, guest.cmdline],
    ];
    // Programs that write what they should not.
    Deno.writeTextFileSync(host.path("run/guests", web.id, "log"), everything.join("\n"), {
      append: true,
    });
    host.supervisor.crashes.add({
      ...{ kind: "kernel", guest: null, time: new Date().toISOString() },
      ...{ title: `panic with ${code}`, text: everything.join("\n") },
    });
    for (const secret of everything) {
      book.add(makeEntry({ level: "info", room: "boot", message: secret }));
      book.add(entryOfLine(
        JSON.stringify({ level: "error", message: "told", detail: secret, password: secretWord }),
        { room: "supervisor", level: "info" },
      ));
    }
    book.add(makeEntry({ level: "info", room: "boot", message: "this is no secret" }));
    for (const place of ["data/console", "data/host"]) {
      Deno.mkdirSync(host.path(place), { recursive: true });
    }
    Deno.writeTextFileSync(host.path("data/console/key.pem"), key);
    Deno.writeTextFileSync(host.path("data/host/settings.json"), JSON.stringify(settings));

    const path = `${folder}/bundle.tar.gz`;
    const cli = ["--socket", host.path("run/supervisor.sock"), "host", "support-bundle", path];
    assertEquals(await run(cli, () => Promise.resolve()), 0);
    const files = await unpack(path);
    for (
      const secret of [PASSWORD, hash, code, pairing, token, csrfToken, secretWord, "hunter2"]
    ) {
      for (const [name, text] of files) assert(!text.includes(secret), `${name} has ${secret}`);
    }
    assertStringIncludes(files.get("log.jsonl")!, "this is no secret");
    assertStringIncludes(files.get("settings.json")!, '"keysForSsh": 1');
    assertStringIncludes(files.get("settings.json")!, "a cable is missing");
    assertStringIncludes(files.get("settings.json")!, "tcp://logs.example");
    assert(
      files.has("network.json.missing"),
      "process 1 of this test has none, which stops nothing",
    );
    assertStringIncludes(files.get("versions.json")!, '"denovisor"');
    const guests = JSON.parse(files.get("guests.json")!);
    assertEquals(guests.map((it: { name: string }) => it.name), ["db", "web"]);
    assert(!("cmdline" in guests[0]));
    assertStringIncludes(files.get("hardware/cpuinfo.txt")!, "model name");
    assert((files.get("kernel.txt") ?? files.get("kernel.txt.missing"))!.length > 0);
    const crashes = [...files].filter(([name]) => name.startsWith("crashes/"));
    assertEquals(crashes.length, 2);
    assert(crashes.some(([, text]) => text.includes("triple fault")));
    assert(files.has("vmm/web.txt"));
    const names = [...files.keys()].join(" ");
    assert(!/key|\.db|password|session/i.test(names), names);
  } finally {
    await socket.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the bundle is for who is signed in; what a host has not is told in it", async () => {
  await using host = await TestHost.start();
  const stranger = await host.request("/api/v1/host/support-bundle", { door: "console" });
  assertEquals(stranger.status, 401);
  await stranger.body?.cancel();
  const path = host.path("bundle.tar.gz");
  const { name, body } = await host.local.client.download("getSupportBundle");
  assert(/^denovisor-support-\S+-\d{8}-\d{4}\.tar\.gz$/.test(name), name);
  using file = await Deno.open(path, { write: true, create: true });
  await body.pipeTo(file.writable);
  const files = await unpack(path);
  assertStringIncludes(files.get("log.jsonl.missing")!, "no appliance");
  assertStringIncludes(files.get("settings.json.missing")!, "no appliance");
});
