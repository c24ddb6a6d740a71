/**
 * The host's SSH, asked of the API and run by process 1, with a server that only pretends.
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HostSocket } from "../../bootimg/host_socket.ts";
import { KeptSettings } from "../../bootimg/settings/kept.ts";
import { HostSsh } from "../../bootimg/ssh/host_ssh.ts";
import { sshRoutes } from "../../bootimg/ssh/serve.ts";
import { ApiError } from "../../hypervisor/supervisor/api/client.ts";
import { HOST_SSH_MOST } from "../../hypervisor/supervisor/api/limits.ts";
import { run } from "../../hypervisor/supervisor/cli/main.ts";
import { TestHost } from "../../hypervisor/supervisor/testing/test_host.ts";

const key = (name: string) =>
  `ssh-ed25519 ${btoa(`\0\0\0\x0bssh-ed25519\0\0\0\x20${name}`)} ${name}@home`;

class Appliance implements AsyncDisposable {
  readonly host: TestHost;
  readonly folder: string;
  readonly #socket: HostSocket;

  private constructor(folder: string) {
    this.folder = folder;
    const kept = new KeptSettings(`${folder}/settings.json`);
    const ssh = new HostSsh({
      ground: {
        writeKeys: (text) => Deno.writeTextFileSync(`${folder}/authorized_keys`, text),
        hostKey: () => Promise.resolve(key("host")),
        start: () => () => Promise.resolve(),
        endSessions: () => {},
      },
      keep: (sshKeys) => kept.change({ sshKeys }),
      ...{ log: () => {}, onProblem: () => {} },
    });
    this.#socket = new HostSocket(`${folder}/host.sock`);
    this.#socket.add(sshRoutes(ssh));
    this.host = new TestHost({ parent: folder, hostSocket: `${folder}/host.sock` });
  }

  static async start(): Promise<Appliance> {
    const appliance = new Appliance(await Deno.makeTempDir({ prefix: "dv-" }));
    await appliance.host.up();
    return appliance;
  }

  get keys(): string[] {
    const text = Deno.readTextFileSync(`${this.folder}/authorized_keys`);
    return text.split("\n").slice(0, -1).map((it) => it.replace(/^\S+ /, ""));
  }

  /** What a person types, and sees. */
  async command(...words: string[]): Promise<string> {
    let out = "";
    const socket = this.host.path("run/supervisor.sock");
    const code = await run(["--socket", socket, "ssh", ...words], (text) => {
      out += text;
      return Promise.resolve();
    });
    return `${code} ${out}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    await this.#socket.close();
    await Deno.remove(this.folder, { recursive: true });
  }
}

Deno.test("keys that the API is given hold at once, and are kept", async () => {
  await using appliance = await Appliance.start();
  const { client } = appliance.host.local;
  assertEquals((await client.call("getHostSsh", {})).isOn, false);
  const told = await client.call("changeHostSsh", { body: { keys: [key("a"), key("b")] } });
  assertEquals([told.isOn, told.keys.map((it) => it.key)], [true, [key("a"), key("b")]]);
  assertEquals(appliance.keys, [key("a"), key("b")]);
  const kept = new KeptSettings(`${appliance.folder}/settings.json`);
  assertEquals(await kept.begin(null), []);
  assertEquals(kept.settings.sshKeys, [key("a"), key("b")]);
  assertEquals((await client.call("changeHostSsh", { body: { keys: [] } })).isOn, false);
  assertEquals(appliance.keys, []);
});

Deno.test("what is no key is refused with its place; as many as there may be are taken", async () => {
  await using appliance = await Appliance.start();
  const { client } = appliance.host.local;
  for (
    const wrong of [`command="sh" ${key("a")}`, `${key("a")}\n${key("b")}`, "ssh-ed25519 AAAA"]
  ) {
    const body = { keys: [key("a"), wrong] };
    const refused = await assertRejects(() => client.call("changeHostSsh", { body }), ApiError);
    assertEquals(refused.problem.fields?.[0].path, "keys.1");
  }
  const long = (n: number) => {
    const begin = `${key(`${n}`)} `;
    return begin + "x".repeat(HOST_SSH_MOST.keyCharacters - begin.length);
  };
  const keys = Array.from({ length: HOST_SSH_MOST.keys }, (_, n) => long(n));
  assertEquals((await client.call("changeHostSsh", { body: { keys } })).keys.length, keys.length);
});

Deno.test("a host that is no appliance has no SSH of ours", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dv-" });
  {
    await using host = new TestHost({ parent: folder });
    await host.up();
    const refused = await assertRejects(() => host.local.client.call("getHostSsh", {}), ApiError);
    assertEquals(refused.problem.code, "not_an_appliance");
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("the command line adds keys out of a file, takes one away, and switches SSH off", async () => {
  await using appliance = await Appliance.start();
  const file = `${appliance.folder}/keys.pub`;
  await Deno.writeTextFile(file, `# mine\n${key("a")}\n\n${key("b")}\n`);
  assertStringIncludes(await appliance.command(), "SSH is off");
  const added = await appliance.command("add", file);
  assertStringIncludes(added, "SSH is on");
  assertStringIncludes(added, "a@home");
  const { keys: [{ fingerprint }] } = await appliance.host.local.client.call("getHostSsh", {});
  assertStringIncludes(await appliance.command("rm", fingerprint), "b@home");
  assertEquals(appliance.keys, [key("b")]);
  assertEquals((await appliance.command("rm", fingerprint)).startsWith("0"), false);
  assertStringIncludes(await appliance.command("off"), "SSH is off");
  assertEquals(appliance.keys, []);
});
